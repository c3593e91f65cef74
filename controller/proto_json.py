"""Encoded messages as proto-JSON, straight from their bytes.

betterproto2 would build, check and resolve the types of every message again: 5 ms for a resource
that takes 0.1 ms here. https://protobuf.dev/programming-guides/encoding and /json
"""

from __future__ import annotations

import dataclasses
import sys
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from math import isfinite
from struct import calcsize, unpack
from types import NoneType
from typing import TYPE_CHECKING, TypeAlias, cast, get_args, get_type_hints

import betterproto2
from envoy_data_plane.google.protobuf import Any
from envoy_data_plane.message_pool import default_message_pool
from google.protobuf.any_pb2 import Any as OfficialAny
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message as OfficialMessage

from meltemi.protocols.foreign import TYPES as foreign_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from _typeshed import DataclassInstance

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Message: TypeAlias = "type[betterproto2.Message]"

_VARINT, _FIXED_64, _DELIMITED, _FIXED_32 = 0, 1, 2, 5

# Negative ones take 64 bits, whatever their type.
_SIGNED = frozenset({betterproto2.TYPE_INT32, betterproto2.TYPE_INT64, betterproto2.TYPE_ENUM})
_ZIGZAG = frozenset({betterproto2.TYPE_SINT32, betterproto2.TYPE_SINT64})
_FORMATS = {
    betterproto2.TYPE_FLOAT: "<f",
    betterproto2.TYPE_FIXED32: "<I",
    betterproto2.TYPE_SFIXED32: "<i",
    betterproto2.TYPE_DOUBLE: "<d",
    betterproto2.TYPE_FIXED64: "<Q",
    betterproto2.TYPE_SFIXED64: "<q",
}

_SIZES = {proto_type: calcsize(form) for proto_type, form in _FORMATS.items()}

_ODD_FLOATS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}

_LACKING: Mapping[tuple[str, int], tuple[str, Mapping[int, str]]] = {
    ("envoy.extensions.filters.network.redis_proxy.v3.RedisProxy", 12): (
        "protocolVersion",
        {0: "RESP2", 1: "RESP3"},
    ),
}
"""Enums by message and number that envoy-data-plane does not know (``proto/``)."""


@dataclass(frozen=True, slots=True)
class _Field:
    """``inner`` is the class of a message or enum; ``key`` the type of a map's keys."""

    name: str
    proto_type: str
    repeated: bool = False
    inner: type | None = None
    key: str = ""


def decode(type_url: str, body: bytes) -> dict[str, Json]:
    """The message's fields; only the size of one whose type nobody here knows.

    Raises ValueError, IndexError, struct.error or DecodeError on bytes that are no such message.
    """
    if (cls := default_message_pool.url_to_type.get(type_url)) is not None:
        return cast("dict[str, Json]", _message(cls, body))
    if (foreign := foreign_types.get(type_url.rpartition("/")[2])) is not None:
        return _official(foreign.FromString(body))
    return {"undecodedBytes": len(body)}


def _message(cls: Message, body: bytes) -> Json:
    if cls is Any:
        return _any(body)
    if cls.to_dict is not betterproto2.Message.to_dict:  # durations, wrappers, structs
        return cast("Json", cls.parse(body).to_dict())
    fields, found = _fields(cls), dict[str, Json]()
    for number, wire_type, value in _records(body):
        if (field := fields.get(number)) is None:
            found |= _lacking(cls, number, value)
        elif field.key:
            entries = cast("dict[str, Json]", found.setdefault(field.name, {}))
            entries |= _entry(field, cast("bytes", value))
        elif field.repeated:
            items = cast("list[Json]", found.setdefault(field.name, []))
            items += _items(field, wire_type, value)
        else:
            found[field.name] = _single(field, value)
    return found


def _any(body: bytes) -> Json:
    parts = {number: cast("bytes", value) for number, _, value in _records(body)}
    type_url, inner = parts.get(1, b"").decode(), parts.get(2, b"")
    cls = default_message_pool.url_to_type.get(type_url)
    if cls is not None and cls.to_dict is not betterproto2.Message.to_dict:
        return {"@type": type_url, "value": _message(cls, inner)}
    return {"@type": type_url, **decode(type_url, inner)}


def _official(message: OfficialMessage) -> dict[str, Json]:
    """A message of ``proto/``. Official protobuf's own translation has no room for an ``Any`` of a
    type that it does not know.
    """
    return {
        field.camelcase_name: (
            [_official_value(field, item) for item in value]
            if field.is_repeated
            else _official_value(field, value)
        )
        for field, value in message.ListFields()
    }


def _official_value(field: FieldDescriptor, value: object) -> Json:
    if field.enum_type is not None:
        return field.enum_type.values_by_number[cast("int", value)].name
    if isinstance(value, OfficialAny):
        return {"@type": value.type_url, **decode(value.type_url, value.value)}
    if not isinstance(value, OfficialMessage):
        wide = field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)
        return str(value) if wide else cast("Json", value)
    if value.DESCRIPTOR.full_name.startswith("google.protobuf."):  # durations and wrappers
        return cast("Json", MessageToDict(value))
    return _official(value)


def _lacking(cls: Message, number: int, value: int | bytes) -> dict[str, Json]:
    known = _LACKING.get((default_message_pool.type_to_url[cls].rpartition("/")[2], number))
    return {} if known is None else {known[0]: known[1].get(cast("int", value), str(value))}


def _entry(field: _Field, body: bytes) -> dict[str, Json]:
    parts = {number: value for number, _, value in _records(body)}
    key = _single(_Field("", field.key), parts.get(1, _nothing(field.key)))
    return {str(key): _single(field, parts.get(2, _nothing(field.proto_type)))}


def _nothing(proto_type: str) -> int | bytes:
    """The value that an entry of a map has when it is left out."""
    if proto_type in _SIZES:
        return bytes(_SIZES[proto_type])
    return b"" if proto_type in betterproto2.WIRE_LEN_DELIM_TYPES else 0


def _items(field: _Field, wire_type: int, value: int | bytes) -> list[Json]:
    if wire_type != _DELIMITED or field.proto_type not in betterproto2.PACKED_TYPES:
        return [_single(field, value)]
    return [_single(field, item) for item in _packed(field.proto_type, cast("bytes", value))]


def _packed(proto_type: str, body: bytes) -> Iterator[int | bytes]:
    if (size := _SIZES.get(proto_type)) is not None:
        yield from (body[at : at + size] for at in range(0, len(body), size))
        return
    at = 0
    while at < len(body):
        value, at = _varint(body, at)
        yield value


def _single(field: _Field, value: int | bytes) -> Json:
    kind = field.proto_type
    if isinstance(value, int):
        return _integer(field, value)
    if kind == betterproto2.TYPE_STRING:
        return value.decode()
    if kind == betterproto2.TYPE_BYTES:
        return b64encode(value).decode()
    if kind == betterproto2.TYPE_MESSAGE:
        return _message(cast("Message", field.inner), value)
    (number,) = cast("tuple[float]", unpack(_FORMATS[kind], value))
    if kind in betterproto2.INT_64_TYPES:
        return str(number)
    return number if isfinite(number) else _ODD_FLOATS[str(number)]


def _integer(field: _Field, value: int) -> Json:
    kind = field.proto_type
    if kind == betterproto2.TYPE_BOOL:
        return bool(value)
    if kind in _ZIGZAG:
        value = value >> 1 ^ -(value & 1)
    elif kind in _SIGNED and value >> 63:
        value -= 1 << 64
    if kind == betterproto2.TYPE_ENUM:
        member = cast("type[betterproto2.Enum]", field.inner)(value)
        return member.proto_name or member.name or value
    return str(value) if kind in betterproto2.INT_64_TYPES else value


@cache
def _fields(cls: Message) -> Mapping[int, _Field]:
    hints = get_type_hints(cls, vars(sys.modules[cls.__module__]))
    found: dict[int, _Field] = {}
    for each in dataclasses.fields(cast("type[DataclassInstance]", cls)):
        meta: betterproto2.FieldMetadata = each.metadata["betterproto"]
        name = str(betterproto2.Casing.CAMEL(each.name)).rstrip("_")
        hint = hints[each.name]
        if meta.map_meta:
            key, value = meta.map_meta
            inner = value.unwrap() if value.unwrap else get_args(hint)[1]
            found[meta.number] = _Field(name, value.proto_type, False, inner, key.proto_type)
        else:
            inner = meta.unwrap() if meta.unwrap else _bare(hint)
            found[meta.number] = _Field(name, meta.proto_type, bool(meta.repeated), inner)
    return found


def _bare(hint: type) -> type:
    """``X`` of ``X``, ``list[X]`` or ``X | None``."""
    return next((arg for arg in get_args(hint) if arg is not NoneType), hint)


def _records(body: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Number, wire type and value of every field."""
    at = 0
    while at < len(body):
        tag, at = _varint(body, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, at = _varint(body, at)
            yield number, wire_type, value
            continue
        if wire_type == _DELIMITED:
            size, at = _varint(body, at)
        elif wire_type in (_FIXED_64, _FIXED_32):
            size = 8 if wire_type == _FIXED_64 else 4
        else:
            raise ValueError(f"wire type {wire_type} is not used by proto3")
        yield number, wire_type, body[at : at + size]
        at += size


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while body[at] & 0x80:
        value |= (body[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | body[at] << shift, at + 1
