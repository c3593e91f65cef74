"""Encoded resources as people and programs read them: proto-JSON without secrets."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, TypeAlias, cast

from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.message_pool import default_message_pool

from meltemi.protocols._pb import redis_proxy_pb2
from meltemi.protocols.model import PlainCredentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meltemi.protocols.model import Mesh, Ref
    from meltemi.xds.resource import Resource, TypeUrl
    from meltemi.xds.snapshot import Snapshot

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

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

REDIS_PROXY = "type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy"


def dump(snapshot: Snapshot, secrets: Iterable[str] = ()) -> dict[TypeUrl, list[dict[str, Json]]]:
    """``{type_url: [{name, version, origins, resource}]}``, sorted by type and name.

    An origin is ``{kind, namespace, name, generation, field}``. ``secrets`` are values that must
    not be seen, wherever they are (``secrets_of``).
    """
    hidden = frozenset(secrets) - {""}
    tables = {url: snapshot.of_type(url) for url in sorted(snapshot.types())}
    return {
        url: [_entry(table[name], hidden) for name in sorted(table)]
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
        "resource": redacted(_decoded(resource), secrets),
    }


def _decoded(resource: Resource) -> Json:
    cls = default_message_pool.url_to_type.get(resource.type_url)
    if cls is None:  # a plugin may use types of its own
        return {"@type": resource.type_url, "undecodedBytes": len(resource.body)}
    message = cls.parse(resource.body)
    decoded = cast("dict[str, Json]", message.to_dict())
    if isinstance(message, Listener):
        _show_redis_protocol(message, decoded)
    return decoded


def _show_redis_protocol(listener: Listener, decoded: dict[str, Json]) -> None:
    """``protocol_version``, which envoy-data-plane does not know and would leave out."""
    chains = cast("list[dict[str, list[dict[str, dict[str, Json]]]]]", decoded["filterChains"])
    for wanted, shown_chain in zip(listener.filter_chains, chains, strict=True):
        shown_filters = shown_chain.get("filters", [])
        for filter_, shown in zip(wanted.filters, shown_filters, strict=True):
            config = filter_.typed_config
            if config is None or config.type_url != REDIS_PROXY:
                continue
            if redis_proxy_pb2.RedisProxy.FromString(config.value).protocol_version == 1:
                shown["typedConfig"]["protocolVersion"] = "RESP3"
