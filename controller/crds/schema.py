"""A structural schema of OpenAPI 3 from the types that decode an object.

A schema never prunes: every mapping keeps fields that nobody listed, so that a misspelt one can be
told, and what is read back is what was applied. A null is dropped by the API server where the types
read it as an absent field, and kept where it means something of its own.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec.inspect as types

from meltemi.controller.decode.schema import Spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Schema = dict[str, object]
Field = tuple[type[Spec], str]
"""A struct and the name of one of its fields, as Python has it."""

PRESERVE: Schema = {"x-kubernetes-preserve-unknown-fields": True}
"""Of a mapping: fields that nobody listed stay. Without a type: anything."""

NO_EFFECT = "Known, but not supported: it has no effect."

_WHOLE = {-(2**63), 2**63 - 1}
"""Limits of int64, which a schema's floating-point limits could not say exactly."""


_OF_ONE_TYPE = {"type", "format", "description"}


@dataclass(frozen=True, slots=True)
class Rule:
    """What the API server evaluates in CEL: a sentence that must be true, and what it says if not.

    ``at`` is the field that the error names, from the struct on; empty is the struct itself.
    """

    cel: str
    says: str
    at: str = ""

    def to_dict(self) -> dict[str, str]:
        """One of ``x-kubernetes-validations``."""
        where = {"fieldPath": self.at} if self.at else {}
        return {"rule": self.cel, "message": self.says, **where}


@dataclass(frozen=True, slots=True)
class Checks:
    """What the types do not say. A field of a struct is one of its heirs too.

    ``fields`` has keywords of the schema; ``stands_for`` the type of a field that is converted
    later than the rest; ``lenient`` the fields whose bounds and presence are left to the decoder,
    because objects that break them were in use before there was one; ``nullable`` those whose null
    is kept for the same reason; ``required`` those without which the decoder rejects the object,
    although their type has a default.
    """

    rules: Mapping[type[Spec], tuple[Rule, ...]] = field(
        default_factory=dict[type[Spec], tuple[Rule, ...]]
    )
    fields: Mapping[Field, Mapping[str, object]] = field(
        default_factory=dict[Field, "Mapping[str, object]"]
    )
    stands_for: Mapping[Field, type[Spec]] = field(default_factory=dict[Field, type[Spec]])
    lenient: frozenset[Field] = frozenset()
    nullable: frozenset[Field] = frozenset()
    required: frozenset[Field] = frozenset()


def schema_of(struct: type[Spec], checks: Checks) -> Schema:
    """The schema of one struct and all that it contains. Raises TypeError for a type of which no
    schema is known.
    """
    described = types.type_info(struct)
    if not isinstance(described, types.StructType):
        raise TypeError(f"{struct.__name__} is no struct")
    return _struct(described, checks)


def documentation(struct: type[Spec]) -> str:
    """The docstring as plain text in one line; quotes are no markup here."""
    return " ".join((struct.__doc__ or "").split()).replace("``", "`")


def _struct(described: types.StructType, checks: Checks) -> Schema:
    struct = described.cls
    assert issubclass(struct, Spec)
    schema: Schema = {"type": "object", "description": documentation(struct)}
    required = [
        each.encode_name
        for each in described.fields
        if _holds(struct, each.name, checks.required)
        or (each.required and not _holds(struct, each.name, checks.lenient))
    ]
    if required:
        schema["required"] = required
    properties = {each.encode_name: _field(struct, each, checks) for each in described.fields}
    properties |= {
        name: {"description": NO_EFFECT, **PRESERVE} for name in sorted(struct.UNSUPPORTED)
    }
    schema |= {"properties": properties, **PRESERVE}
    if rules := [rule.to_dict() for kind in struct.__mro__ for rule in _rules(kind, checks)]:
        schema["x-kubernetes-validations"] = rules
    return schema


def _rules(kind: type, checks: Checks) -> tuple[Rule, ...]:
    return checks.rules.get(kind, ()) if issubclass(kind, Spec) else ()


def _field(struct: type[Spec], described: types.Field, checks: Checks) -> Schema:
    lenient = _holds(struct, described.name, checks.lenient)
    keys = [*_keys(struct, described.name)]
    if later := [checks.stands_for[key] for key in keys if key in checks.stands_for]:
        schema = schema_of(later[0], checks) | {"nullable": True}
    else:
        schema = _type(described.type, checks, bounded=not lenient)
    if _holds(struct, described.name, checks.nullable):
        schema["nullable"] = True
    for key in keys:
        schema |= checks.fields.get(key, {})
    return schema


def _keys(struct: type[Spec], name: str) -> Iterator[Field]:
    """The field as the struct has it and as those have it from which it inherits."""
    return ((kind, name) for kind in struct.__mro__ if issubclass(kind, Spec))


def _holds(struct: type[Spec], name: str, fields: frozenset[Field]) -> bool:
    return not fields.isdisjoint(_keys(struct, name))


def _type(described: types.Type, checks: Checks, *, bounded: bool = True) -> Schema:
    match described:
        case types.StructType():
            return _struct(described, checks)
        case types.UnionType():
            return _union(described, checks, bounded=bounded)
        case types.DictType(value_type=value):
            return _mapping(value, checks)
        case types.VarTupleType(item_type=item, max_length=most):
            return {"type": "array", "items": _type(item, checks), **_limit("maxItems", most)}
        case types.LiteralType(values=values):
            return {"type": "string", "enum": list(values)}
        case _:
            return _scalar(described, bounded=bounded)


def _scalar(described: types.Type, *, bounded: bool) -> Schema:
    match described:
        case types.BoolType():
            return {"type": "boolean"}
        case types.StrType():
            return {"type": "string"}
        case types.IntType(ge=least, le=most):
            limits = _limit("minimum", least) | _limit("maximum", most)
            return {"type": "integer", "format": "int64", **(limits if bounded else {})}
        case types.FloatType(ge=least, le=most):
            limits = _limit("minimum", least) | _limit("maximum", most)
            return {"type": "number", **(limits if bounded else {})}
        case types.AnyType() | types.CustomType():
            return {**PRESERVE}
        case _:
            raise TypeError(f"no schema is known of {described!r}")


def _limit(keyword: str, value: float | None) -> Schema:
    return {} if value is None or value in _WHOLE else {keyword: value}


def _mapping(value: types.Type, checks: Checks) -> Schema:
    """Its entries may be null where the type says so: to drop one would say something else."""
    if isinstance(value, types.AnyType | types.CustomType):
        return {"type": "object", **PRESERVE}
    nullable = isinstance(value, types.UnionType) and value.includes_none
    entry = _type(value, checks) | ({"nullable": True} if nullable else {})
    return {"type": "object", "additionalProperties": entry}


def _union(described: types.UnionType, checks: Checks, *, bounded: bool) -> Schema:
    """A structural schema has one type for each value, but for an integer or a string. Without a
    type, what it says of numbers, lists and mappings concerns those alone.
    """
    members = [member for member in described.types if not isinstance(member, types.NoneType)]
    if len(members) == 1:
        return _type(members[0], checks, bounded=bounded)
    if {type(member) for member in members} == {types.IntType, types.StrType}:
        return {"x-kubernetes-int-or-string": True}
    merged: Schema = {}
    for member in members:
        merged |= _type(member, checks)
    return {key: merged[key] for key in merged if key not in _OF_ONE_TYPE} | PRESERVE
