"""What users have written: a handful of services and their rules, as values and as files.

Four services stay for the whole run and have traffic; others come and go beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.testing.ports import Address

Document: TypeAlias = "dict[str, Any]"
Addresses: TypeAlias = "Mapping[str, Mapping[str, Address]]"
"""Where the servers of a protocol are, by name; what stands before a dot is their version."""

VERSIONS = ("v1", "v2", "v3")
LIVE = tuple(f"{version}.{which}" for version in VERSIONS for which in "ab")
DEAD = ("v1.refuses", "v2.silent")
"""Endpoints that nobody serves: connections are refused, or never open."""

PORTS = {"dubbo": 20880, "thrift": 9090, "tcp": 7000, "redis": 6379}
NEXT, COPY = "next.example", "copy.example"
REDIS_PORTS = {NEXT: 6380, COPY: 6381}
SIDES = range(6)
SIDE_PROTOCOLS = ("dubbo", "thrift", "tcp", "redis")


@dataclass(frozen=True, slots=True)
class Routing:
    """One route of a rule: ``method`` is what it matches, empty for everything."""

    name: str
    weights: tuple[tuple[str, int], ...]
    method: str = ""


@dataclass(frozen=True, slots=True)
class Steady:
    """A service with traffic. ``routes`` empty: there is no rule. ``listed``: its endpoints."""

    protocol: str
    listed: frozenset[str]
    subsets: frozenset[str] = frozenset(VERSIONS)
    routes: tuple[Routing, ...] = ()

    @property
    def host(self) -> str:
        return f"{self.protocol}.example"


@dataclass(frozen=True, slots=True)
class Redis:
    """The Redis service with traffic. ``mirror``: percentage of writes that are copied."""

    mirror: int | None = None
    prefixes: frozenset[str] = frozenset()
    timeout: int = 0


@dataclass(frozen=True, slots=True)
class Side:
    """A service that comes and goes. ``listed`` names endpoints, perhaps none."""

    protocol: str
    listed: frozenset[str]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is written down. ``broken``: what is wrong with a file, by its name."""

    steady: Mapping[str, Steady]
    redis: Redis = Redis()
    sides: Mapping[int, Side] = field(default_factory=dict[int, Side])
    broken: Mapping[str, str] = field(default_factory=dict[str, str])

    def with_steady(self, changed: Steady) -> World:
        """With one service changed."""
        return replace(self, steady={**self.steady, changed.protocol: changed})


def beginning() -> World:
    """One endpoint of each version, and no rules. Where servers are checked, one is silent: the
    clusters that it is in take half a second to warm.
    """
    first = frozenset(f"{version}.a" for version in VERSIONS)
    checked = {name: Steady(name, first | {"v2.silent"}) for name in ("dubbo", "thrift")}
    return World({**checked, "tcp": Steady("tcp", first)})


def side_host(number: int) -> str:
    """The host of a service that comes and goes."""
    return f"side-{number}.example"


def side_port(number: int) -> int:
    """Its port."""
    return 8000 + number


def files(world: World, addresses: Addresses) -> dict[str, str]:
    """The text of every file by its name."""
    documents: dict[str, list[Document]] = {"redis.service.yaml": _redis_entries(addresses)}
    for service in world.steady.values():
        at = PORTS[service.protocol]
        listed = _endpoints(service.listed, addresses[service.protocol])
        entry = _entry(service.host, service.protocol, at, listed)
        documents[f"{service.protocol}.service.yaml"] = [entry]
        documents[rules_file(service.protocol)] = _rules(service)
    documents[rules_file("redis")] = _redis_rules(world.redis)
    for number, side in world.sides.items():
        listed = _endpoints(side.listed, addresses[side.protocol])
        entry = _entry(side_host(number), side.protocol, side_port(number), listed)
        documents[f"side-{number}.yaml"] = [entry]
    return {
        name: _text(found, world.broken.get(name, "")) for name, found in documents.items() if found
    }


def rules_file(protocol: str) -> str:
    """The file with the rules of a service that stays."""
    return f"{protocol}.rules.yaml"


BROKEN_ROUTES: Mapping[str, Document] = {
    "regex": {"match": {"attributes": {"method": {"regex": "(?=x)"}}}},
    "subset": {"match": {"attributes": {"method": {"exact": "nobody"}}}, "subset": "v9"},
    "host": {"match": {"attributes": {"method": {"exact": "nobody"}}}, "host": "gone.example"},
}
"""Routes that cannot be served, in a rule that is otherwise good."""

BROKEN_FILES = ("yaml", "schema")
"""Ways to break a whole file: what it last said stays in force."""


def _text(documents: list[Document], broken: str) -> str:
    if broken in BROKEN_ROUTES:
        documents = [_with_bad_route(document, broken) for document in documents]
    if broken == "schema":
        documents = [{**document, "spec": "all"} for document in documents]
    text = yaml.dump_all(documents, Dumper=yaml.CSafeDumper)
    return f"{text}  : @[\n" if broken == "yaml" else text


def _with_bad_route(document: Document, broken: str) -> Document:
    if document["kind"] != "MetaRouter":
        return document
    spec, bad = document["spec"], BROKEN_ROUTES[broken]
    destination = {"host": bad.get("host", spec["hosts"][0])}
    if "subset" in bad:
        destination["subset"] = bad["subset"]
    route = {"name": "bad", "match": bad["match"], "route": [{"destination": destination}]}
    return {**document, "spec": {**spec, "routes": [route, *spec["routes"]]}}


def _rules(service: Steady) -> list[Document]:
    subsets = [{"name": each, "labels": {"version": each}} for each in sorted(service.subsets)]
    found = [
        _document(
            "networking.istio.io/v1",
            "DestinationRule",
            service.protocol,
            {"host": service.host, "subsets": subsets},
        )
    ]
    if service.routes:
        routes = [_route(service.host, routing) for routing in service.routes]
        spec = {"hosts": [service.host], "routes": routes}
        api = "metaprotocol.aeraki.io/v1alpha1"
        found.append(_document(api, "MetaRouter", service.protocol, spec))
    return found


def _route(host: str, routing: Routing) -> Document:
    to = [
        {"destination": {"host": host, "subset": version}, "weight": weight}
        for version, weight in routing.weights
    ]
    match = {"attributes": {"method": {"exact": routing.method}}} if routing.method else {}
    return {"name": routing.name, "match": match, "route": to}


def _redis_entries(addresses: Addresses) -> list[Document]:
    ports = {"redis.example": PORTS["redis"], **REDIS_PORTS}
    return [
        _entry(host, "redis", port, {"v1": addresses["redis"][f"v{number}.a"]})
        for number, (host, port) in enumerate(ports.items(), start=1)
    ]


def _redis_rules(redis: Redis) -> list[Document]:
    own: Document = {"route": {"host": "redis.example", "port": PORTS["redis"]}}
    if redis.mirror is not None:
        copy = {"host": COPY, "port": REDIS_PORTS[COPY]}
        percentage = {"value": redis.mirror}
        own["mirror"] = [{"route": copy, "percentage": percentage, "excludeReadCommands": True}]
    moved = {"host": NEXT, "port": REDIS_PORTS[NEXT]}
    prefixes = [
        {"match": {"key": {"prefix": prefix}}, "route": moved} for prefix in sorted(redis.prefixes)
    ]
    spec: Document = {"host": ["redis.example"], "redis": [*prefixes, own]}
    if redis.timeout:
        spec["settings"] = {"opTimeout": f"{redis.timeout}s"}
    return [_document("redis.aeraki.io/v1alpha1", "RedisService", "redis", spec)]


def _endpoints(names: frozenset[str], addresses: Mapping[str, Address]) -> dict[str, Address]:
    return {name: addresses[name] for name in sorted(names)}


def _entry(host: str, protocol: str, port: int, endpoints: Mapping[str, Address]) -> Document:
    token = f"tcp-{protocol}" if protocol != "tcp" else "tcp"
    listed = [
        {
            "address": at.host,
            "ports": {token: at.port},
            "labels": {"version": name.partition(".")[0]},
        }
        for name, at in endpoints.items()
    ]
    spec = {
        "hosts": [host],
        "resolution": "STATIC",
        "ports": [{"number": port, "name": token}],
        "endpoints": listed,
    }
    return _document("networking.istio.io/v1", "ServiceEntry", host.partition(".")[0], spec)


def _document(api: str, kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}
