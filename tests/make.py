"""Meshes for tests, in as few words as a reader needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias, cast

from meltemi.controller.sources.files import is_cases
from meltemi.protocols.api import Attribute, Capability, Compiled, Engine, Scope, Target
from meltemi.protocols.compiler import Compiler
from meltemi.protocols.group import GroupKey
from meltemi.protocols.model import (
    Destination,
    DestinationPolicy,
    Dirty,
    Endpoint,
    Matcher,
    MatchKind,
    Mesh,
    Port,
    RedisSettings,
    RedisUpstream,
    Ref,
    Route,
    Rule,
    Secret,
    Service,
    Subset,
    TrafficPolicy,
)
from meltemi.protocols.registry import Registered, Registry, load
from meltemi.protocols.tcp import TCP_PROXY, Tcp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from meltemi.protocols.api import ProtocolPlugin
    from meltemi.protocols.problem import Problem
    from meltemi.xds.resource import Key, Resource
    from meltemi.xds.snapshot import Snapshot

ByHost: TypeAlias = Rule | DestinationPolicy | RedisSettings | RedisUpstream
Thing: TypeAlias = Service | Secret | ByHost

PORT = 20880
VERSIONS = ("v1", "v2")
OWN = f"outbound|{PORT}||shop.default.svc.cluster.local"
"""The cluster of the service that the factories make unless told otherwise."""


def rule_files(folder: Path) -> list[Path]:
    """The files of a folder that hold rules, without the cases that test them."""
    return sorted(file for file in folder.rglob("*.yaml") if not is_cases(file.name))


def host(name: str = "shop", namespace: str = "default") -> str:
    """The host of a Kubernetes Service."""
    return f"{name}.{namespace}.svc.cluster.local"


def service(
    name: str = "shop",
    protocol: str = "dubbo",
    *,
    namespace: str = "default",
    port: int = PORT,
    addresses: tuple[str, ...] = (),
    export_to: tuple[str, ...] = ("*",),
    resp: int = 2,
    kind: str = "Service",
) -> Service:
    """A Service with one port; ``kind`` ServiceEntry gives it the host of a Service as well."""
    ref = Ref(kind, namespace, name)
    ports = (Port(port, f"tcp-{protocol}", protocol, ref.at("spec.ports[0]")),)
    return Service(ref, host(name, namespace), namespace, ports, addresses, export_to, resp)


def endpoint(number: int = 1, version: str = "v1", *, port: int = PORT) -> Endpoint:
    """The address 10.0.0.``number``, port 8000."""
    return Endpoint(f"10.0.0.{number}", {port: 8000}, {"version": version})


def policy(
    name: str = "shop",
    *versions: str,
    namespace: str = "default",
    settings: TrafficPolicy | None = None,
    export_to: tuple[str, ...] = ("*",),
) -> DestinationPolicy:
    """A DestinationRule with one subset per version."""
    ref = Ref("DestinationRule", namespace, name)
    subsets = tuple(
        Subset(version, {"version": version}, ref.at(f"spec.subsets[{index}]"))
        for index, version in enumerate(versions or VERSIONS)
    )
    traffic = TrafficPolicy() if settings is None else settings
    return DestinationPolicy(ref, host(name), traffic, subsets=subsets, export_to=export_to)


def to(subset: str = "", weight: int = 100, *, name: str = "shop", port: int = 0) -> Destination:
    """A destination; of the service ``shop`` unless another is named."""
    return Destination(host(name), port, subset, weight)


def exact(value: str) -> Matcher:
    """The attribute is this."""
    return Matcher(MatchKind.EXACT, value)


def prefix(value: str) -> Matcher:
    """The attribute begins with this."""
    return Matcher(MatchKind.PREFIX, value)


def regex(pattern: str) -> Matcher:
    """The whole attribute matches this."""
    return Matcher(MatchKind.REGEX, pattern)


def route(index: int, *destinations: Destination, **match: Matcher) -> Route:
    """The unnamed route at ``spec.routes[index]`` of the MetaRouter ``shop``."""
    ref = Ref("MetaRouter", "default", "shop", field=f"spec.routes[{index}]")
    return Route(ref, "", match, destinations)


def rule(
    *routes: Route,
    name: str = "shop",
    namespace: str = "default",
    kind: str = "MetaRouter",
    of: str = "shop",
    export_to: tuple[str, ...] = ("*",),
) -> Rule:
    """A MetaRouter for the host of the service ``of``."""
    return Rule(Ref(kind, namespace, name), (host(of),), routes, export_to=export_to)


@dataclass(slots=True)
class Draft:
    """A mesh that changes, and what its store would say of each change."""

    _things: dict[tuple[type, str, Ref], Thing] = field(
        default_factory=dict[tuple[type, str, Ref], Thing]
    )
    mesh: Mesh = field(default_factory=Mesh)

    def put(self, thing: Thing) -> Dirty:
        """Add or replace an object."""
        dirty = Dirty()
        for at in _hosts(thing):
            self._things[type(thing), at, thing.ref.object] = thing
            dirty |= self._refresh(thing, at)
        return dirty

    def drop(self, thing: Thing) -> Dirty:
        """Remove an object; it may be absent."""
        dirty = Dirty()
        for at in _hosts(thing):
            if self._things.pop((type(thing), at, thing.ref.object), None) is not None:
                dirty |= self._refresh(thing, at)
        return dirty

    def place(self, at: Service, *endpoints: Endpoint) -> Dirty:
        """These are the service's endpoints now."""
        _set(self.mesh.endpoints, (at.namespace, at.host), endpoints)
        return Dirty(endpoints=frozenset({at.host}))

    def _refresh(self, thing: Thing, at: str) -> Dirty:
        found = [t for (kind, on, _), t in self._things.items() if (kind, on) == (type(thing), at)]
        ordered = tuple(sorted(found, key=_precedence))
        if isinstance(thing, Secret):
            key = (thing.ref.namespace, thing.ref.name)
            _set(self.mesh.secrets, key, next(iter(ordered), None))
            return Dirty(secrets=frozenset({key}))
        tables: dict[type, object] = {
            Service: self.mesh.services,
            Rule: self.mesh.rules,
            DestinationPolicy: self.mesh.policies,
            RedisSettings: self.mesh.redis,
            RedisUpstream: self.mesh.upstreams,
        }
        _set(tables[type(thing)], at, ordered)
        return Dirty(hosts=frozenset({at}))


def _set(table: object, key: object, value: object) -> None:
    """In a draft the mesh's mappings are dicts."""
    entries = cast("dict[object, object]", table)
    if value:
        entries[key] = value
    else:
        entries.pop(key, None)


def _hosts(thing: Thing) -> tuple[str, ...]:
    match thing:
        case Secret():
            return ("",)
        case Rule() | RedisSettings():
            return thing.hosts
        case _:
            return (thing.host,)


def _precedence(thing: Thing) -> tuple[bool, str, str, str]:
    ref = thing.ref
    return ref.kind not in {"Service", "MetaRouter"}, ref.namespace, ref.name, ref.kind


def mesh(*things: Thing, endpoints: Iterable[Endpoint] = ()) -> Mesh:
    """A mesh of these objects; the endpoints are those of every service."""
    draft = Draft()
    for thing in things:
        draft.put(thing)
        if isinstance(thing, Service):
            draft.place(thing, *endpoints)
    return draft.mesh


@dataclass(slots=True)
class FakePlugin:
    """A plugin as a third party might write it; it serves as TCP, or raises what ``fails`` says."""

    name: str = "fake"
    engines: tuple[Engine, ...] = (TCP_PROXY,)
    attributes: Mapping[str, Attribute] = field(default_factory=dict[str, Attribute])
    fails: str = ""
    scopes: list[Scope] = field(default_factory=list[Scope])

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        self.scopes.append(scope)
        if self.fails:
            raise RuntimeError(self.fails)
        return Tcp().compile(scope, engine)


def plugins(*found: ProtocolPlugin) -> Registry:
    """These plugins, and TCP."""
    return Registry(Registered(plugin, "meltemi-fake", "7") for plugin in (*found, Tcp()))


@lru_cache
def registry() -> Registry:
    """The plugins that are installed."""
    return load()


def minor(envoy: str) -> tuple[int, int]:
    """The (major, minor) of a version such as 1.36.4."""
    first, second, _ = envoy.split(".")
    return int(first), int(second)


def capability(*without: str, version: tuple[int, int] = (1, 40)) -> Capability:
    """A proxy that has every engine but those whose type URLs contain one of these words."""
    extensions = (url for url in registry().extensions if not any(word in url for word in without))
    return Capability(frozenset(extensions), version)


def group(
    *,
    namespace: str = "default",
    bind: str = "127.0.0.1",
    services: Iterable[str] = ("*",),
    ports: tuple[tuple[str, int], ...] = (),
    rtds: bool = True,
    proxy: Capability | None = None,
) -> GroupKey:
    """A group of capable proxies that see everything."""
    target = Target(capability() if proxy is None else proxy, rtds)
    return GroupKey(target, namespace, bind, frozenset(services), ports)


def compiler(mesh: Mesh, *groups: GroupKey, plugins: Registry | None = None) -> Compiler:
    """A compiler that has compiled the mesh for these groups; for one default group if none."""
    made = Compiler(registry() if plugins is None else plugins, mesh)
    hosts = {*mesh.services, *mesh.rules, *mesh.policies, *mesh.redis, *mesh.upstreams}
    made.lint(sorted(hosts))
    for key in groups or (group(),):
        run(made.open(key))
    return made


def run(steps: Iterable[None]) -> None:
    """Every step of a compiler's generator."""
    for _ in steps:
        pass


def snapshot(mesh: Mesh, key: GroupKey | None = None, plugins: Registry | None = None) -> Snapshot:
    """What one group of proxies holds."""
    wanted = group() if key is None else key
    return compiler(mesh, wanted, plugins=plugins).group(wanted).snapshot


def problems(mesh: Mesh, *groups: GroupKey, plugins: Registry | None = None) -> tuple[Problem, ...]:
    """What is wrong with the mesh."""
    return compiler(mesh, *groups, plugins=plugins).problems()


def codes(mesh: Mesh, *groups: GroupKey, plugins: Registry | None = None) -> list[str]:
    """The codes of what is wrong, in order."""
    return sorted(problem.code for problem in problems(mesh, *groups, plugins=plugins))


def resources(snapshot: Snapshot) -> dict[Key, Resource]:
    """Everything in a snapshot."""
    return {
        resource.key: resource
        for type_url in snapshot.types()
        for resource in snapshot.of_type(type_url).values()
    }
