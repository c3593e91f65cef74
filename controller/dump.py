"""Encoded resources as people and programs read them: proto-JSON without secrets."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, cast

from meltemi.controller.proto_json import decode
from meltemi.protocols.model import PlainCredentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meltemi.controller.proto_json import Json
    from meltemi.protocols.model import Mesh, Ref
    from meltemi.xds.resource import Resource, TypeUrl
    from meltemi.xds.snapshot import Snapshot

REDACTED = "<redacted>"

SENSITIVE = frozenset(
    {
        # envoy.extensions.filters.network.redis_proxy.v3
        "downstreamAuthPassword",
        "downstreamAuthPasswords",
        "downstreamAuthUsername",
        "authPassword",
        "authUsername",
        # envoy.extensions.transport_sockets.tls.v3
        "genericSecret",
        "password",
        "pkcs12",
        "privateKey",
        "sessionTicketKeys",
    }
)
"""Fields that Envoy's API marks as sensitive, by their names in proto-JSON."""

LONG = 8
"""From this length on a secret is also looked for inside of longer texts. A shorter one would be
found in half of all names.
"""


def dump(
    snapshot: Snapshot,
    secrets: Iterable[str] = (),
    may_hold: Callable[[bytes], bool] = lambda _: True,
) -> dict[TypeUrl, list[dict[str, Json]]]:
    """``{type_url: [{name, version, origins, resource}]}``, sorted by type and name.

    An origin is ``{kind, namespace, name, generation, field}``. ``secrets`` are values that must
    not be seen, wherever they are (``secrets_of``); ``may_hold`` says of a body whether it is worth
    looking for them.
    """
    hidden, nothing = frozenset(secrets) - {""}, frozenset[str]()
    tables = {url: snapshot.of_type(url) for url in sorted(snapshot.types())}
    return {
        url: [
            _entry(table[name], hidden if may_hold(table[name].body) else nothing)
            for name in sorted(table)
        ]
        for url, table in tables.items()
        if table
    }


def secrets_of(mesh: Mesh) -> Iterator[str]:
    """Every value that users gave as a secret, by reference or in plain text."""
    for secret in mesh.secrets.values():
        yield from secret.data.values()
    settings = (entry.auth for entries in mesh.redis.values() for entry in entries)
    upstreams = (entry.auth for entries in mesh.upstreams.values() for entry in entries)
    for auth in chain(settings, upstreams):
        if isinstance(auth, PlainCredentials):
            yield auth.password


def reference(ref: Ref) -> dict[str, Json]:
    """A place in a user's object: ``{kind, namespace, name, generation, field}``."""
    return {
        "kind": ref.kind,
        "namespace": ref.namespace,
        "name": ref.name,
        "generation": ref.generation,
        "field": ref.field,
    }


def redacted(value: Json, secrets: frozenset[str] = frozenset()) -> Json:
    """The value without what sensitive fields hold and without these secrets."""
    if isinstance(value, dict):
        return {
            name: _emptied(inner) if name in SENSITIVE else redacted(inner, secrets)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(inner, secrets) for inner in value]
    return conceal(value, secrets) if isinstance(value, str) else value


def conceal(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets."""
    for secret in sorted(secrets, key=len, reverse=True):
        if text == secret:
            return REDACTED
        if len(secret) >= LONG:
            text = text.replace(secret, REDACTED)
    return text


def _emptied(value: Json) -> Json:
    """The same shape with every leaf redacted: a reader sees that something is there."""
    if isinstance(value, dict):
        return {name: _emptied(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_emptied(inner) for inner in value]
    return REDACTED


def _entry(resource: Resource, secrets: frozenset[str]) -> dict[str, Json]:
    return {
        "name": resource.name,
        "version": resource.version,
        "origins": [reference(cast("Ref", origin)) for origin in resource.origins],
        "resource": redacted(decode(resource.type_url, resource.body), secrets),
    }
