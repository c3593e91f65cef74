"""Why a request goes where it goes: the rule, the route and the endpoints, with reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import TYPE_CHECKING, Literal

from meltemi.protocols.explain import Decision, decide
from meltemi.protocols.model import Destination, Ref
from meltemi.protocols.piece import Piece, endpoints_of
from meltemi.protocols.problem import Problem
from meltemi.protocols.routing import find_part
from meltemi.protocols.sight import look

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.protocols.group import Group
    from meltemi.protocols.model import Mesh, Mirror, Port, RedisSettings, Route, Service

_LOWER = {ord(letter): ord(letter.lower()) for letter in ascii_uppercase}

Outcome = Literal["route", "default", "error"]


@dataclass(frozen=True, slots=True)
class Target:
    """A destination and its ready endpoints as ``address:port``. A weight is a percentage, rounded
    where a VirtualService says shares of another sum.
    """

    host: str
    port: int
    subset: str
    weight: int
    endpoints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MirrorTarget:
    """Where copies go; ``percentage`` of the requests."""

    host: str
    port: int
    subset: str
    percentage: float


@dataclass(frozen=True, slots=True)
class RuleName:
    """The object and the route that decided. ``route`` is its name, or its place in the object."""

    kind: str
    namespace: str
    name: str
    route: str


@dataclass(frozen=True, slots=True)
class Step:
    """A route that was looked at."""

    rule: str
    matched: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer. ``outcome``: a route of the rule, the service's own endpoints by default, or the
    protocol's error because no route matched. ``timeout`` in seconds.
    """

    host: str
    port: int
    protocol: str
    engine: str
    rule: RuleName | None
    destinations: tuple[Target, ...]
    mirrors: tuple[MirrorTarget, ...]
    timeout: float | None
    outcome: Outcome
    considered: tuple[Step, ...]
    findings: tuple[Problem, ...] = ()


class NotFound(LookupError):
    """No such host or port for these proxies. The text says what there is."""


def explain(
    mesh: Mesh, group: Group, host: str, port: int, attributes: Mapping[str, str]
) -> Explanation:
    """What proxies of the group do with a request that has these attributes.

    Raises:
        NotFound: the group does not serve the host and port.
    """
    piece, service, found = _locate(mesh, group, host, port)
    served = [resolved.route for resolved in piece.resolution.routes]
    decision = Decision(None, ())
    outcome: Outcome = "default"
    if piece.rule is not None:
        routes, asked = piece.rule.routes, attributes
        if (settings := _redis_of(mesh, service)) is not None and settings.case_insensitive:
            routes, asked = _folded(routes), {name: _fold(v) for name, v in attributes.items()}
        decision = decide(routes, asked, piece.unserved, envoy=piece.key.target.capability.version)
        # A rule of which nothing is left is replaced by one route of the frame's own.
        by_default = {route.ref for route in served}.isdisjoint(
            route.ref for route in piece.rule.routes
        )
        outcome = "route" if decision.route else "default" if by_default else "error"
    wanted = decision.route.destinations if decision.route else ()
    if outcome == "default":
        wanted = (Destination(service.host, port),)
    total = sum(destination.weight for destination in wanted) or 1
    wanted = tuple(replace(d, weight=round(100 * d.weight / total)) for d in wanted)
    route = next((r for r in served if decision.route and r.ref == decision.route.ref), None)
    return Explanation(
        host=host,
        port=port,
        protocol=found.protocol,
        engine=piece.engine.name if piece.engine else "",
        rule=_rule_name(piece, decision.route),
        destinations=tuple(_target(mesh, group.key.namespace, d, piece) for d in wanted),
        mirrors=tuple(_mirror(mirror, port) for mirror in route.mirrors) if route else (),
        timeout=route.timeout if route else None,
        outcome=outcome,
        considered=tuple(
            Step(step_name(entry.ref, entry.name), entry.matched, entry.reason)
            for entry in decision.considered
        ),
        findings=(
            *_folding(piece, found, attributes),
            *(p for p in group.problems() if p.about.object == service.ref.object),
        ),
    )


def _redis_of(mesh: Mesh, service: Service) -> RedisSettings | None:
    sight = look(mesh, service.host, service.namespace)
    return sight.redis if sight else None


def _folded(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """The routes as redis_proxy compares them when its keys are case-insensitive."""
    return tuple(
        replace(route, match={n: replace(m, value=_fold(m.value)) for n, m in route.match.items()})
        for route in routes
    )


def _fold(text: str) -> str:
    """Lower case of ASCII letters only, like Envoy."""
    return text.translate(_LOWER)


def _locate(mesh: Mesh, group: Group, host: str, port: int) -> tuple[Piece, Service, Port]:
    keys = group.hosts.get(host, ())
    if not keys:
        hosts = ", ".join(sorted(group.hosts)) or "none"
        raise NotFound(
            f"no service {host!r} is visible in namespace {group.key.namespace!r}; "
            f"there are: {hosts}"
        )
    for key in keys:
        piece = group.piece(key)
        owner = key.chosen[0]
        services = (s for s in mesh.services.get(host, ()) if s.ref.object == owner)
        service = next(services, None)
        found = service.port(port) if service else None
        if key.port == port and piece and service and found:
            return piece, service, found
    ports = ", ".join(str(key.port) for key in keys)
    raise NotFound(f"{host!r} has no port {port}; it has: {ports}")


def _rule_name(piece: Piece, route: Route | None) -> RuleName | None:
    if piece.rule is None or route is None:
        return None
    ref = piece.rule.ref
    return RuleName(ref.kind, ref.namespace, ref.name, route.name or route.ref.field)


def step_name(ref: Ref, name: str) -> str:
    """What ``Step.rule`` calls a route: no other route of a mesh is called so."""
    return f"{ref} ({name})" if name else str(ref)


def _target(mesh: Mesh, namespace: str, destination: Destination, piece: Piece) -> Target:
    number = destination.port or piece.key.port
    part = find_part(mesh, namespace, destination, number, Ref("", "", ""))
    found = [] if isinstance(part, Problem) else endpoints_of(mesh, part)
    return Target(
        host=destination.host,
        port=number,
        subset=destination.subset,
        weight=destination.weight,
        endpoints=tuple(sorted(_address(endpoint.address, at) for endpoint, at in found)),
    )


def _address(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _mirror(mirror: Mirror, number: int) -> MirrorTarget:
    to = mirror.destination
    return MirrorTarget(to.host, to.port or number, to.subset, mirror.percentage)


def _folding(piece: Piece, port: Port, attributes: Mapping[str, str]) -> tuple[Problem, ...]:
    if piece.engine is None or not piece.engine.folds_case:
        return ()
    return tuple(
        Problem(
            "MEL0313",
            piece.rule.ref if piece.rule else port.ref,
            f"{piece.engine.name} compares attribute names without case; this answer takes "
            f"{name!r} exactly",
            f"ask for {name.lower()!r}",
        )
        for name in attributes
        if name != name.lower()
    )
