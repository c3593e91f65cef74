"""Reading Hessian 2.0: every form of the specification, because a server chooses the forms.

A typed list or map loses its type name, a date is read as milliseconds since 1970.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from meltemi.testing.hessian2 import HessianError, Thing, Value


class Reader:
    """Reads values one after the other; references reach back over all of them.

    ``read`` is for everybody, the other ``read_`` methods are the forms that it chooses from.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._seen: list[Value] = []
        self._types: list[str] = []
        self._classes: list[tuple[str, list[str]]] = []

    @property
    def more(self) -> bool:
        """Whether bytes are left."""
        return self._at < len(self._data)

    def read(self) -> Value:
        """The next value. Raises HessianError."""
        code = self.take(1)[0]
        for codes, form in _FORMS:
            if code in codes:
                return form(self, code)
        raise HessianError(f"no value begins with byte 0x{code:02x} (at {self._at - 1})")

    def take(self, count: int) -> bytes:
        """The next raw bytes. Raises HessianError when there are fewer."""
        if count > len(self._data) - self._at:
            raise HessianError(f"{count} bytes expected at {self._at} of {len(self._data)}")
        self._at += count
        return self._data[self._at - count : self._at]

    def read_integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big", signed=True)

    def read_compact(self, high: int, size: int) -> int:
        """A number whose high part was in the first byte."""
        return (high << 8 * size) + int.from_bytes(self.take(size), "big")

    def read_double(self) -> float:
        (value,) = struct.unpack(">d", self.take(8))
        return float(value)

    def read_length(self) -> int:
        length = self.read()
        if not isinstance(length, int) or length < 0:
            raise HessianError(f"a length expected before {self._at}, not {length!r}")
        return length

    def read_text(self) -> str:
        text = self.read()
        if not isinstance(text, str):
            raise HessianError(f"a string expected before {self._at}, not {text!r}")
        return text

    def read_string(self, length: int) -> str:
        ahead = self._data[self._at : self._at + length]
        if ahead.isascii() and len(ahead) == length:
            return self.take(length).decode()
        return _joined("".join(self._unit() for _ in range(length)))

    def read_string_chunks(self) -> str:
        # A chunk may end between the halves of a pair.
        return _joined(self.read_string(self.read_compact(0, 2)) + self.read_text())

    def _unit(self) -> str:
        first = self.take(1)
        more = 0 if first < b"\x80" else 1 if first < b"\xe0" else 2
        encoded = first + self.take(more)
        try:
            return encoded.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise HessianError(f"no UTF-8 before {self._at}: {encoded.hex()}") from error

    def read_binary_chunks(self) -> bytes:
        data = self.take(self.read_compact(0, 2))
        rest = self.read()
        if not isinstance(rest, bytes):
            raise HessianError(f"another chunk of bytes expected before {self._at}")
        return data + rest

    def _skip_type(self) -> None:
        name = self.read()
        if not isinstance(name, (str, int)):
            raise HessianError(f"a type name expected before {self._at}, not {name!r}")

    def read_list(self, length: int | None, *, typed: bool = False) -> Value:
        """``length`` None: up to the end mark."""
        if typed:
            self._skip_type()
        values: list[Value] = []
        self._seen.append(values)
        while len(values) != length and not (length is None and self._ended()):
            values.append(self.read())
        return values

    def read_counted_list(self, *, typed: bool) -> Value:
        if typed:
            self._skip_type()
        return self.read_list(self.read_length())

    def read_map(self, *, typed: bool = False) -> Value:
        if typed:
            self._skip_type()
        values: dict[Value, Value] = {}
        self._seen.append(values)
        while not self._ended():
            key = self.read()
            if isinstance(key, (list, dict)):
                raise HessianError(f"a map has a {type(key).__name__} as key before {self._at}")
            values[key] = self.read()
        return values

    def _ended(self) -> bool:
        ended = self._data[self._at : self._at + 1] == b"Z"
        self._at += ended
        return ended

    def read_class_definition(self) -> Value:
        name = self.read_text()
        self._classes.append((name, [self.read_text() for _ in range(self.read_length())]))
        return self.read()

    def read_thing(self, number: int) -> Value:
        if number >= len(self._classes):
            raise HessianError(f"class {number} is not defined before {self._at}")
        name, names = self._classes[number]
        fields: dict[str, Value] = {}
        thing = Thing(name, fields)
        self._seen.append(thing)
        for each in names:
            fields[each] = self.read()
        return thing

    def read_reference(self) -> Value:
        number = self.read_length()
        if number >= len(self._seen):
            raise HessianError(f"reference {number} points ahead, before {self._at}")
        return self._seen[number]


def _joined(text: str) -> str:
    """Surrogate pairs made one character: their halves are written one by one."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


_Form: TypeAlias = Callable[[Reader, int], Value]

# (first bytes, how the value goes on), in the order of the specification's bytecode map.
_FORMS: tuple[tuple[range, _Form], ...] = (
    (range(0x20), lambda r, code: r.read_string(code)),
    (range(0x20, 0x30), lambda r, code: r.take(code - 0x20)),
    (range(0x30, 0x34), lambda r, code: r.read_string(r.read_compact(code - 0x30, 1))),
    (range(0x34, 0x38), lambda r, code: r.take(r.read_compact(code - 0x34, 1))),
    (range(0x38, 0x40), lambda r, code: r.read_compact(code - 0x3C, 2)),
    (range(0x41, 0x42), lambda r, _: r.read_binary_chunks()),
    (range(0x42, 0x43), lambda r, _: r.take(r.read_compact(0, 2))),
    (range(0x43, 0x44), lambda r, _: r.read_class_definition()),
    (range(0x44, 0x45), lambda r, _: r.read_double()),
    (range(0x46, 0x47), lambda r, _: False),
    (range(0x48, 0x49), lambda r, _: r.read_map()),
    (range(0x49, 0x4A), lambda r, _: r.read_integer(4)),
    (range(0x4A, 0x4B), lambda r, _: r.read_integer(8)),
    (range(0x4B, 0x4C), lambda r, _: r.read_integer(4) * 60_000),
    (range(0x4C, 0x4D), lambda r, _: r.read_integer(8)),
    (range(0x4D, 0x4E), lambda r, _: r.read_map(typed=True)),
    (range(0x4E, 0x4F), lambda r, _: None),
    (range(0x4F, 0x50), lambda r, _: r.read_thing(r.read_length())),
    (range(0x51, 0x52), lambda r, _: r.read_reference()),
    (range(0x52, 0x53), lambda r, _: r.read_string_chunks()),
    (range(0x53, 0x54), lambda r, _: r.read_string(r.read_compact(0, 2))),
    (range(0x54, 0x55), lambda r, _: True),
    (range(0x55, 0x56), lambda r, _: r.read_list(None, typed=True)),
    (range(0x56, 0x57), lambda r, _: r.read_counted_list(typed=True)),
    (range(0x57, 0x58), lambda r, _: r.read_list(None)),
    (range(0x58, 0x59), lambda r, _: r.read_counted_list(typed=False)),
    (range(0x59, 0x5A), lambda r, _: r.read_integer(4)),
    (range(0x5B, 0x5D), lambda r, code: float(code - 0x5B)),
    (range(0x5D, 0x5E), lambda r, _: float(r.read_integer(1))),
    (range(0x5E, 0x5F), lambda r, _: float(r.read_integer(2))),
    (range(0x5F, 0x60), lambda r, _: r.read_integer(4) / 1000),
    (range(0x60, 0x70), lambda r, code: r.read_thing(code - 0x60)),
    (range(0x70, 0x78), lambda r, code: r.read_list(code - 0x70, typed=True)),
    (range(0x78, 0x80), lambda r, code: r.read_list(code - 0x78)),
    (range(0x80, 0xC0), lambda r, code: code - 0x90),
    (range(0xC0, 0xD0), lambda r, code: r.read_compact(code - 0xC8, 1)),
    (range(0xD0, 0xD8), lambda r, code: r.read_compact(code - 0xD4, 2)),
    (range(0xD8, 0xF0), lambda r, code: code - 0xE0),
    (range(0xF0, 0x100), lambda r, code: r.read_compact(code - 0xF8, 1)),
)
