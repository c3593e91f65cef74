"""Envoy messages to bytes, deterministically.

envoy-data-plane's messages are checked when they are built; betterproto2's own serializer checks
them again and is about a hundred times slower. So one function per message class is compiled on
first use, from the same field metadata. Bytes equal betterproto2's, except that the entries of a
map are sorted and durations are exact (its own lose the sign, and microseconds after 285 years).
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, cast

import betterproto2
from envoy_data_plane.google.protobuf import Any, Duration, Timestamp
from envoy_data_plane.message_pool import default_message_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import DataclassInstance
    from google.protobuf.message import Message as OfficialMessage

    Encoder = Callable[[betterproto2.Message], bytes]


def encode(message: betterproto2.Message) -> bytes:
    """The message in protobuf's wire format; equal messages give equal bytes.

    Values are taken as their constructor checked them: assigning a wrong one afterwards is not
    noticed here. Fields that were unknown to a parser are kept.
    """
    return _ENCODERS[type(message)](message)


def pack(message: betterproto2.Message, *more: OfficialMessage) -> Any:
    """The message as an ``Any``; ``Any.pack`` would run the slow serializer.

    ``more`` are official protobuf messages that carry fields of the same type which
    envoy-data-plane lacks: wire formats merge by concatenation.

    Raises KeyError for a class that is not of envoy-data-plane.
    """
    extension = b"".join(part.SerializeToString(deterministic=True) for part in more)
    type_url = default_message_pool.type_to_url[type(message)]
    return Any(type_url=type_url, value=encode(message) + extension)


def pack_foreign(type_name: str, message: OfficialMessage) -> Any:
    """A message of a type that envoy-data-plane does not have, as an ``Any``.

    ``type_name`` is Envoy's own name of the type.
    """
    body = message.SerializeToString(deterministic=True)
    return Any(type_url=f"type.googleapis.com/{type_name}", value=body)


# -- The wire format: https://protobuf.dev/programming-guides/encoding

_VARINT, _FIXED_64, _DELIMITED, _FIXED_32 = 0, 1, 2, 5

_WIRE_TYPES = {
    **dict.fromkeys(betterproto2.WIRE_VARINT_TYPES, _VARINT),
    **dict.fromkeys(betterproto2.WIRE_FIXED_64_TYPES, _FIXED_64),
    **dict.fromkeys(betterproto2.WIRE_LEN_DELIM_TYPES, _DELIMITED),
    **dict.fromkeys(betterproto2.WIRE_FIXED_32_TYPES, _FIXED_32),
}

_FIXED_FORMATS = {
    betterproto2.TYPE_FLOAT: "<f",
    betterproto2.TYPE_FIXED32: "<I",
    betterproto2.TYPE_SFIXED32: "<i",
    betterproto2.TYPE_DOUBLE: "<d",
    betterproto2.TYPE_FIXED64: "<Q",
    betterproto2.TYPE_SFIXED64: "<q",
}

_SMALL = tuple(bytes((value,)) for value in range(128))


def _varint(value: int) -> bytes:
    if value < 0:  # two's complement in 64 bits, for 32-bit types too
        value += 1 << 64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else ~(value << 1))


def _seconds_and_nanos(seconds: int, nanos: int) -> bytes:
    return (b"\x08" + _varint(seconds) if seconds else b"") + (
        b"\x10" + _varint(nanos) if nanos else b""
    )


def _duration(delta: timedelta) -> bytes:
    """Both parts carry the sign, as ``google.protobuf.Duration`` asks."""
    seconds, micros = divmod(abs(delta) // timedelta(microseconds=1), 1_000_000)
    sign = -1 if delta.days < 0 else 1
    return _seconds_and_nanos(sign * seconds, sign * micros * 1000)


def _timestamp(moment: datetime) -> bytes:
    since = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    seconds, micros = divmod(since, 1_000_000)
    return _seconds_and_nanos(seconds, micros * 1000)


def _key(number: int, proto_type: str) -> bytes:
    return _varint(number << 3 | _WIRE_TYPES[proto_type])


# -- The generated code: expressions that give bytes, then statements, then a function


def _payload(proto_type: str, unwrap: Callable[[], type] | None, value: str) -> str:
    """An expression for the bytes of the variable ``value``, without key and length."""
    if unwrap is not None:
        return _wrapped_payload(unwrap(), value)
    if proto_type == betterproto2.TYPE_MESSAGE:
        return f"encoders[type({value})]({value})"
    if proto_type == betterproto2.TYPE_STRING:
        return f"{value}.encode()"
    if proto_type == betterproto2.TYPE_BYTES:
        return value
    if proto_type in _FIXED_FORMATS:
        return f"pack_{proto_type}({value})"
    if proto_type in (betterproto2.TYPE_SINT32, betterproto2.TYPE_SINT64):
        return f"zigzag({value})"
    return f"(small[{value}] if 0 <= {value} < 128 else varint({value}))"


def _wrapped_payload(wrapper: type, value: str) -> str:
    """Well-known types that betterproto2 shows as plain Python values."""
    if wrapper is Duration:
        return f"duration({value})"
    if wrapper is Timestamp:
        return f"timestamp({value})"
    (inner,) = _fields(wrapper).values()
    return f"({_field(inner.number, inner.proto_type, None, value)} if {value} else b'')"


def _field(number: int, proto_type: str, unwrap: Callable[[], type] | None, value: str) -> str:
    """An expression for key, length and payload of one value."""
    key, payload = _key(number, proto_type), _payload(proto_type, unwrap, value)
    if _WIRE_TYPES[proto_type] != _DELIMITED:
        return f"{key!r} + {payload}"
    length = f"(small[size] if (size := len(body := {payload})) < 128 else varint(size))"
    return f"{key!r} + {length} + body"


def _statements(name: str, meta: betterproto2.FieldMetadata) -> Iterator[str]:
    """Append the field ``message.<name>`` to ``out``."""
    if meta.map_meta:
        key, value = meta.map_meta
        entry_key = _field(1, key.proto_type, None, "key")
        entry_value = _field(2, value.proto_type, value.unwrap, "value")
        yield f"if entries := message.{name}:"
        yield "    parts = []"
        yield "    for key, value in sorted(entries.items(), key=first):"
        yield f"        entry = {entry_key}"
        yield f"        entry += {entry_value}"
        yield f"        parts.append({_field(meta.number, betterproto2.TYPE_BYTES, None, 'entry')})"
        yield "    out += b''.join(parts)"
    elif meta.repeated and meta.proto_type in betterproto2.PACKED_TYPES:
        item = _payload(meta.proto_type, None, "value")
        yield f"if values := message.{name}:"
        yield f"    packed = b''.join([{item} for value in values])"
        yield f"    out += {_field(meta.number, betterproto2.TYPE_BYTES, None, 'packed')}"
    elif meta.repeated:
        yield f"if values := message.{name}:"
        yield "    parts = []"
        yield "    for value in values:"
        yield f"        parts.append({_field(meta.number, meta.proto_type, meta.unwrap, 'value')})"
        yield "    out += b''.join(parts)"
    else:
        # Without presence a zero is not sent; every zero value is false, a set message may be too.
        explicit = meta.optional or meta.group or meta.proto_type == betterproto2.TYPE_MESSAGE
        test = f"(value := message.{name})" + (" is not None" if explicit else "")
        yield f"if {test}:"
        yield f"    out += {_field(meta.number, meta.proto_type, meta.unwrap, 'value')}"


def _fields(cls: type) -> dict[str, betterproto2.FieldMetadata]:
    """In the order of declaration, which is betterproto2's order on the wire."""
    fields = dataclasses.fields(cast("type[DataclassInstance]", cls))
    return {field.name: field.metadata["betterproto"] for field in fields}


def _source(cls: type[betterproto2.Message]) -> str:
    lines = ["def encode(message):", "    out = b''"]
    for name, meta in _fields(cls).items():
        lines += (f"    {statement}" for statement in _statements(name, meta))
    lines += ["    return out + message._unknown_fields"]
    return "\n".join(lines)


class _Encoders(dict[type[betterproto2.Message], "Encoder"]):
    """One function per message class, compiled when a message of it is first met."""

    def __missing__(self, cls: type[betterproto2.Message]) -> Encoder:
        scope: dict[str, object] = {**_BUILTINS, "encoders": self}
        exec(compile(_source(cls), f"<encoder of {cls.__qualname__}>", "exec"), scope)
        encoder = self[cls] = cast("Encoder", scope["encode"])
        return encoder


_BUILTINS: dict[str, object] = {
    "small": _SMALL,
    "varint": _varint,
    "zigzag": _zigzag,
    "duration": _duration,
    "timestamp": _timestamp,
    "first": itemgetter(0),
    **{f"pack_{name}": Struct(form).pack for name, form in _FIXED_FORMATS.items()},
}

_ENCODERS = _Encoders()
