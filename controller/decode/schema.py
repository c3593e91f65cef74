"""Typed reading of one object: only what we use, with a word on everything else.

The structs name the fields that are used, those that are known to mean nothing here (IGNORED) and
those that would mean something (UNSUPPORTED). msgspec checks types; what it cannot say (unknown
fields, which key of a map) is found by walking the same types. A null is an absent field, as the
Kubernetes API server reads it; only fields of type ``object`` take what is written as it stands.
"""

from __future__ import annotations

import re
import types
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from typing import (
    TYPE_CHECKING,
    Annotated,
    ClassVar,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec.structs import fields as struct_fields

from meltemi.controller.decode.notes import UNKNOWN, UNKNOWN_IN_ROUTE, UNREADABLE_AUTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.controller.decode.notes import Notes


class Spec(msgspec.Struct, frozen=True, rename="camel"):
    """A part of an object. ``OPEN`` parts may have fields that nobody listed; ``STRICT`` ones
    decide which requests a route takes, which must not depend on a spelling: the route is left out.
    Nor must authentication: what looks like one of the ``GUARDED`` names asks for it.
    """

    IGNORED: ClassVar[frozenset[str]] = frozenset()
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset()
    OPEN: ClassVar[bool] = False
    STRICT: ClassVar[bool] = False
    GUARDED: ClassVar[frozenset[str]] = frozenset()


_Spec = TypeVar("_Spec", bound=Spec)

_ERROR = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?")
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")
_STEP = re.compile(r"\.(?P<name>[^.\[]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
_TYPES = re.compile(r"`([^`]+)`")
_WORDS = {
    "int": "an integer",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}


def convert(value: object, wanted: type[_Spec], notes: Notes, path: str = "") -> _Spec | None:
    """The value as ``wanted``; None when the notes say why it is not."""
    shape = _shape(wanted)
    cleaned = _clean(value, shape, path, notes)
    try:
        return msgspec.convert(cleaned, wanted)
    except msgspec.ValidationError as error:
        _explain(str(error), cleaned, shape, path, notes)
        return None


@dataclass(frozen=True, slots=True)
class _Shape:
    """What may stand inside a value: fields of a struct, items of a list or entries of a map."""

    hint: object
    struct: type[Spec] | None = None
    fields: Mapping[str, _Shape] | None = None
    item: _Shape | None = None
    entry: _Shape | None = None
    nullable: bool = False


@cache
def _shape(hint: object) -> _Shape:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return replace(_shape(args[0]), hint=hint)
    if origin in (Union, types.UnionType):
        return _union(hint, args)
    if origin is tuple:
        return _Shape(hint, item=_shape(args[0]))
    if origin is dict:
        return _Shape(hint, entry=_shape(args[1]))
    if (spec := _spec(hint)) is not None:
        return _struct(spec)
    return _Shape(hint)


def _spec(hint: object) -> type[Spec] | None:
    return hint if isinstance(hint, type) and issubclass(hint, Spec) else None


def _struct(spec: type[Spec]) -> _Shape:
    hints = get_type_hints(spec, include_extras=True)
    inner = {field.encode_name: _shape(hints[field.name]) for field in struct_fields(spec)}
    return _Shape(spec, struct=spec, fields=inner)


def _union(hint: object, members: tuple[object, ...]) -> _Shape:
    """A mapping and a list may both be members; what is written tells which of them is meant."""
    inner = [_shape(member) for member in members]
    return _Shape(
        hint,
        struct=next((shape.struct for shape in inner if shape.struct), None),
        fields=next((shape.fields for shape in inner if shape.fields is not None), None),
        item=next((shape.item for shape in inner if shape.item), None),
        entry=next((shape.entry for shape in inner if shape.entry), None),
        nullable=type(None) in members,
    )


def _clean(value: object, shape: _Shape, path: str, notes: Notes) -> object:
    """The value without nulls and without fields that are not used; the notes name the latter."""
    if (mapping := as_mapping(value)) is not None:
        return _clean_mapping(mapping, shape, path, notes)
    if (items := as_list(value)) is not None and (inner := shape.item) is not None:
        return [_clean(item, inner, f"{path}[{i}]", notes) for i, item in enumerate(items)]
    return value


def as_mapping(value: object) -> dict[str, object] | None:
    """The value, if it is a mapping; documents have no other keys than strings."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def as_list(value: object) -> list[object] | None:
    """The value, if it is a list."""
    return cast("list[object]", value) if isinstance(value, list) else None


def _clean_mapping(
    value: dict[str, object], shape: _Shape, path: str, notes: Notes
) -> dict[str, object]:
    if shape.struct is not None and shape.fields is not None:
        return _clean_struct(value, shape.struct, shape.fields, path, notes)
    if (inner := shape.entry) is None:
        return value
    return {
        key: _clean(entry, inner, f"{path}[{key}]", notes)
        for key, entry in value.items()
        if entry is not None or inner.nullable
    }


def _clean_struct(
    value: dict[str, object],
    struct: type[Spec],
    fields: Mapping[str, _Shape],
    path: str,
    notes: Notes,
) -> dict[str, object]:
    cleaned: dict[str, object] = {}
    for name, entry in value.items():
        field = f"{path}.{name}" if path else name
        if (shape := fields.get(name)) is not None:
            if entry is not None or shape.hint is object:
                cleaned[name] = _clean(entry, shape, field, notes)
        elif name in struct.UNSUPPORTED:
            if entry is not None:
                notes.unsupported(field)
        elif name not in struct.IGNORED and not struct.OPEN:
            known = [*fields, *struct.UNSUPPORTED, *struct.IGNORED]
            _note_unknown(name, field, struct, notes, _did_you_mean(name, known))
    return cleaned


def _note_unknown(name: str, field: str, struct: type[Spec], notes: Notes, next_step: str) -> None:
    cause = f"{field} is no known field"
    if _may_mean(name.lower(), struct.GUARDED):
        cause = f"{cause}, but may ask for authentication: what it may guard is locked"
        notes.add(UNREADABLE_AUTH, field, cause, next_step)
    elif struct.STRICT:
        cause = f"{cause}: the route is left out"
        notes.add(UNKNOWN_IN_ROUTE, field, cause, next_step, unserved=True)
    else:
        notes.add(UNKNOWN, field, cause, next_step)


def _may_mean(name: str, guarded: frozenset[str]) -> bool:
    return any(known in name for known in guarded) or bool(get_close_matches(name, guarded, 1))


def _did_you_mean(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"did you mean {close[0]}?" if close else "remove it, or correct its name"


def _explain(message: str, value: object, shape: _Shape, path: str, notes: Notes) -> None:
    found = _ERROR.fullmatch(message)
    what, where = (found["what"], found["path"] or "") if found else (message, "")
    field = _locate(where, value, shape, path)
    if missing := _MISSING.fullmatch(what):
        name = missing["name"]
        field = f"{field}.{name}" if field else name
        notes.missing(field, f"add {name}")
        return
    what = _TYPES.sub(_in_words, what)
    what = what[:1].lower() + what[1:]
    notes.wrong(field, f"{field or 'the object'}: {what}", "correct the value")


def _in_words(types: re.Match[str]) -> str:
    """msgspec's ``str | null`` as users say it: that a field may be absent helps nobody."""
    names = types[1].split(" | ")
    wanted = [name for name in names if name != "null"] or names
    return " or ".join(_WORDS.get(name, name) for name in wanted)


def _locate(where: str, value: object, shape: _Shape, path: str) -> str:
    """msgspec's path in our words; it writes ``[...]`` for an entry of a map."""
    for step in _STEP.finditer(where):
        if name := step["name"]:
            path = f"{path}.{name}" if path else name
            value = cast("dict[str, object]", value)[name]
            shape = (shape.fields or {})[name]
        elif step["index"] is not None:
            path = f"{path}[{step['index']}]"
            value = cast("list[object]", value)[int(step["index"])]
            shape = shape.item or shape
        else:
            entries = cast("dict[str, object]", value)
            shape = shape.entry or shape
            key = next(key for key, entry in entries.items() if not _fits(entry, shape))
            path, value = f"{path}[{key}]", entries[key]
    return path


def _fits(value: object, shape: _Shape) -> bool:
    try:
        msgspec.convert(value, cast("type[object]", shape.hint))
    except msgspec.ValidationError:
        return False
    return True
