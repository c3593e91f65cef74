"""What an Envoy holds, and what it should hold: both as proto-JSON by kind and name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import betterproto2

from meltemi.controller.nodes import profile
from meltemi.controller.offline.offline import parse_node, read_path
from meltemi.controller.proto_json import decode
from meltemi.controller.settings import Settings
from meltemi.protocols.naming import RUNTIME_LAYER
from meltemi.protocols.registry import load
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, RUNTIME

if TYPE_CHECKING:
    from pathlib import Path

    from meltemi.controller.proto_json import Json
    from meltemi.testing.envoy import Envoy
    from meltemi.xds.snapshot import Snapshot

Held: TypeAlias = Mapping[str, Mapping[str, object]]
"""``clusters``, ``endpoints``, ``listeners``, ``routes``, ``runtime`` and ``versions``, by name."""

# What Envoy fills in where an assignment says nothing.
_OVERPROVISIONING, _WEIGHT = 140, 1


def should_hold(rules: Path, node: str, *, delta: bool) -> Held:
    """What Meltemi would give this node, compiled anew from the files, by nobody who served it.

    ``node`` as JSON. Versions are those of clusters in delta: in the other dialect a resource has
    none of its own, and a listener that Envoy changes in place keeps its first one.
    """
    offline = read_path(rules, load(), Settings())
    key = profile(parse_node(node), offline.registry).group
    snapshot = offline.group(key).snapshot
    kinds: dict[str, dict[str, object]] = {
        "clusters": _decoded(snapshot, CLUSTER),
        "listeners": _decoded(snapshot, LISTENER),
        "endpoints": {
            name: _assignment(cast("Json", assignment))
            for name, assignment in _decoded(snapshot, ENDPOINT).items()
        },
        "routes": {},
        "runtime": {},
    }
    for type_url in snapshot.types():
        if type_url.endswith("RouteConfiguration"):
            kinds["routes"] |= _decoded(snapshot, type_url)
    for layer in snapshot.of_type(RUNTIME).values():
        values = cast("dict[str, float]", decode(RUNTIME, layer.body).get("layer", {}))
        kinds["runtime"] |= {name: float(value) for name, value in values.items()}
    versions = {name: each.version for name, each in snapshot.of_type(CLUSTER).items()}
    kinds["versions"] = {**versions} if delta else {}
    return kinds


async def holds(envoy: Envoy, *, delta: bool) -> Held:
    """What Envoy says that it uses."""
    sections = await envoy.config_dump()
    clusters = _entries(sections, "dynamic_active_clusters")
    listeners = [
        each["active_state"]
        for each in _entries(sections, "dynamic_listeners")
        if "active_state" in each
    ]
    routes = [each["route_config"] for each in _entries(sections, "dynamic_route_configs")]
    assignments = [
        each["endpoint_config"] for each in _entries(sections, "dynamic_endpoint_configs")
    ]
    return {
        "clusters": _by_name(each["cluster"] for each in clusters),
        "listeners": _by_name(each["listener"] for each in listeners),
        "endpoints": {each["cluster_name"]: _assignment(_camel(each)) for each in assignments},
        "routes": _by_name(routes),
        "runtime": _layer(json.loads(await envoy.admin_get("/runtime"))),
        "versions": {
            each["cluster"]["name"]: each["version_info"] for each in (clusters if delta else ())
        },
    }


async def node_of(envoy: Envoy) -> str:
    """How Envoy introduces itself, as JSON."""
    sections = await envoy.config_dump()
    return json.dumps(sections[0]["bootstrap"]["node"])


def differences(should: Held, does: Held) -> list[str]:
    """One line for every resource that is missing, too many or another."""
    found: list[str] = []
    for kind, wanted in should.items():
        held = does[kind]
        found += [f"{kind}: {name} is missing" for name in sorted(wanted.keys() - held.keys())]
        found += [f"{kind}: {name} is too many" for name in sorted(held.keys() - wanted.keys())]
        found += [
            f"{kind}: {name} is {held[name]} and should be {wanted[name]}"
            for name in sorted(wanted.keys() & held.keys())
            if held[name] != wanted[name]
        ]
    return found


def _decoded(snapshot: Snapshot, type_url: str) -> dict[str, object]:
    table = snapshot.of_type(type_url)
    return {name: _camel(decode(type_url, each.body)) for name, each in table.items()}


def _entries(sections: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    return [entry for section in sections for entry in section.get(field, ())]


def _by_name(resources: Any) -> dict[str, object]:
    return {each["name"]: _camel(_untyped(each)) for each in resources}


def _untyped(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "@type"}


def _camel(value: Any) -> Any:
    """The same with the names of its fields as proto-JSON prefers them, those of maps too."""
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {_name(name): _camel(inner) for name, inner in fields.items()}
    if isinstance(value, list):
        return [_camel(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _name(field: str) -> str:
    return field if field.startswith("@") else str(betterproto2.Casing.CAMEL(field))


def _assignment(value: Any) -> object:
    """The hosts of an assignment with all that a choice among them depends on, in any order."""
    policy = value.get("policy", {}).get("overprovisioningFactor", _OVERPROVISIONING)
    hosts = {
        (
            json.dumps(group.get("locality", {}), sort_keys=True),
            group.get("priority", 0),
            group.get("loadBalancingWeight", 0),
            json.dumps(host["endpoint"]["address"], sort_keys=True),
            host.get("loadBalancingWeight", _WEIGHT),
            json.dumps(host.get("metadata", {}), sort_keys=True),
        )
        for group in value.get("endpoints", ())
        for host in group.get("lbEndpoints", ())
    }
    return policy, frozenset(hosts)


def _layer(runtime: dict[str, Any]) -> dict[str, object]:
    at = runtime["layers"].index(RUNTIME_LAYER)
    return {
        name: float(entry["layer_values"][at])
        for name, entry in runtime.get("entries", {}).items()
        if entry["layer_values"][at]
    }
