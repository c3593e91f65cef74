"""Hessian 2.0 values and their bytes: the strings, numbers, maps and exceptions of a Dubbo call.

After the specification, http://hessian.caucho.com/doc/hessian-serialization.html. Writing keeps to
the plain forms: no references, no shared class definitions. Reading is in ``hessian2_reader``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Value: TypeAlias = (
    "bool | int | float | str | bytes | list[Value] | dict[Value, Value] | Thing | None"
)

_INT32 = range(-(1 << 31), 1 << 31)
_CHUNK = 0x7FFF


class HessianError(ValueError):
    """The bytes are not Hessian 2, or they end early."""


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """A Java object: the name of its class and its fields. Exceptions travel like this."""

    type: str
    fields: Mapping[str, Value] = field(default_factory=dict[str, "Value"])


def encode(*values: Value) -> bytes:
    """The values one after the other. Ints are Java ints if they fit, else longs.

    Raises OverflowError for an int beyond 64 bits.
    """
    writer = _Writer()
    for value in values:
        writer.write(value)
    return bytes(writer.out)


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray()
        self._classes = 0

    def write(self, value: Value) -> None:
        match value:
            case None:
                self.out += b"N"
            case bool():
                self.out += b"T" if value else b"F"
            case int():
                self.out += _int(value)
            case float():
                self.out += struct.pack(">cd", b"D", value)
            case str():
                self.out += _string(value)
            case bytes():
                self.out += _binary(value)
            case list():
                self._list(value)
            case dict():
                self._map(value)
            case Thing():
                self._thing(value)

    def _list(self, values: list[Value]) -> None:
        self.out += b"X" + _int(len(values))
        for value in values:
            self.write(value)

    def _map(self, values: dict[Value, Value]) -> None:
        self.out += b"H"
        for key, value in values.items():
            self.write(key)
            self.write(value)
        self.out += b"Z"

    def _thing(self, thing: Thing) -> None:
        self.out += b"C" + _string(thing.type) + _int(len(thing.fields))
        for name in thing.fields:
            self.out += _string(name)
        self.out += b"O" + _int(self._classes)
        self._classes += 1
        for value in thing.fields.values():
            self.write(value)


def _int(value: int) -> bytes:
    if value in range(-16, 48):
        return bytes([0x90 + value])
    if value in range(-0x800, 0x800):
        return struct.pack(">H", 0xC800 + value)
    if value in _INT32:
        return struct.pack(">ci", b"I", value)
    if value not in range(-(1 << 63), 1 << 63):
        raise OverflowError(f"{value} is no Java long")
    return struct.pack(">cq", b"L", value)


def _units(text: str) -> list[str]:
    """UTF-16 units: lengths count them, and each half of a surrogate pair is written by itself."""
    wide = text.encode("utf-16-be", "surrogatepass")
    return [chr(unit) for (unit,) in struct.iter_unpack(">H", wide)]


def _string(text: str) -> bytes:
    units, out = _units(text), b""
    while len(units) > _CHUNK:
        out += b"R" + struct.pack(">H", _CHUNK) + _utf8(units[:_CHUNK])
        units = units[_CHUNK:]
    if len(units) < 32:
        return out + bytes([len(units)]) + _utf8(units)
    return out + b"S" + struct.pack(">H", len(units)) + _utf8(units)


def _utf8(units: list[str]) -> bytes:
    return "".join(units).encode("utf-8", "surrogatepass")


def _binary(data: bytes) -> bytes:
    out = b""
    while len(data) > _CHUNK:
        out += b"A" + struct.pack(">H", _CHUNK) + data[:_CHUNK]
        data = data[_CHUNK:]
    return out + b"B" + struct.pack(">H", len(data)) + data
