"""From a rule to routes whose destinations are clusters: what a plugin is given."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from meltemi.protocols import naming
from meltemi.protocols.api import Engine, ProtocolPlugin, ResolvedMirror, ResolvedRoute
from meltemi.protocols.model import (
    Destination,
    DestinationPolicy,
    Discovery,
    Mesh,
    Port,
    Ref,
    Remark,
    Route,
    Rule,
    Service,
    TrafficPolicy,
)
from meltemi.protocols.problem import Problem
from meltemi.protocols.servable import folded_names, normalized, refusals, without_unsupported
from meltemi.protocols.sight import policy_of, service_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Part:
    """Which endpoints stand for one destination of a cluster, and their share.

    ``service`` is (namespace, host); ``weight`` None where the cluster has one destination.
    ``blocked``: TLS is wanted that cannot be honoured, so no endpoint may be used. ``discovery`` is
    the service's.
    """

    label: str
    service: tuple[str, str]
    port: int
    labels: Mapping[str, str]
    weight: int | None = None
    blocked: bool = False
    discovery: Discovery = Discovery.STATIC


@dataclass(frozen=True, slots=True)
class Split:
    """A cluster over the destinations of one weighted route."""

    name: str
    parts: tuple[Part, ...]
    policy: TrafficPolicy
    ref: Ref


@dataclass(frozen=True, slots=True)
class Resolution:
    """``routes`` is never empty. ``unserved`` says why routes of the rule are left out; ``hosts``
    were looked at, whether they exist or not.
    """

    routes: tuple[ResolvedRoute, ...]
    splits: tuple[Split, ...] = ()
    problems: tuple[Problem, ...] = ()
    unserved: Mapping[Ref, str] = field(default_factory=dict[Ref, str])
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Resolver:
    """One port of a service, as one engine serves it to clients of one namespace."""

    mesh: Mesh
    namespace: str
    service: Service
    port: Port
    plugin: ProtocolPlugin
    engine: Engine

    def resolve(self, rule: Rule | None) -> Resolution:
        """The rule's servable routes; the service's own cluster when there is no rule, or no route
        of it is left.
        """
        if rule is None:
            return Resolution((self._own_route(),))
        routes: list[ResolvedRoute] = []
        splits: list[Split] = []
        problems: list[Problem] = []
        unserved: dict[Ref, str] = {}
        taken: set[str] = set()
        for route in map(normalized, rule.routes):
            problems += [_told(remark) for remark in route.remarks]
            covering = next((r.route for r in routes if r.route.match in ({}, route.match)), None)
            if covering is not None and not route.flaw:
                unreachable = _unreachable(route, covering)
                problems.append(unreachable)
                unserved[route.ref] = unreachable.cause
                continue
            label = naming.route_label(route, taken)
            outcome = self._route(rule, route, label)
            problems += outcome.problems
            if outcome.resolved is None:
                unserved[route.ref] = route.flaw or outcome.problems[0].cause
                continue
            taken.add(label)
            routes.append(outcome.resolved)
            splits += outcome.splits
        if not routes:
            routes.append(self._own_route())
            if rule.routes:
                problems.append(_nothing_left(rule, self.service))
        hosts = frozenset(destination.host for destination in destinations(rule))
        return Resolution(tuple(routes), tuple(splits), tuple(problems), unserved, hosts)

    def _own_route(self) -> ResolvedRoute:
        cluster = naming.ClusterName(self.service.host, self.port.number)
        return ResolvedRoute(Route(ref=self.port.ref), str(cluster))

    def _route(self, rule: Rule, route: Route, label: str) -> _Outcome:
        if route.flaw:
            return _Outcome(None, (), ())
        refused = (*refusals(route, self.plugin, self.engine),)
        if refused:
            return _Outcome(None, (), refused)
        route, lacking = without_unsupported(route, self.engine)
        found = [self._part(destination, route) for destination in route.destinations]
        missing = tuple(entry for entry in found if isinstance(entry, Problem))
        parts = tuple(entry for entry in found if isinstance(entry, Part))
        if missing:
            return _Outcome(None, (), missing)
        if not parts:
            return _Outcome(None, (), (_without_destination(route),))
        cluster, splits = parts[0].label, tuple[Split, ...]()
        if len(parts) > 1:
            split = self._split(rule, route, label, parts)
            if isinstance(split, Problem):
                return _Outcome(None, (), (split,))
            cluster, splits = split.name, (split,)
        mirrors, mirror_problems = self._mirrors(route, label)
        notes = (*lacking, *folded_names(route, self.engine), *mirror_problems)
        return _Outcome(ResolvedRoute(route, cluster, mirrors), splits, notes)

    def _split(
        self, rule: Rule, route: Route, label: str, parts: tuple[Part, ...]
    ) -> Split | Problem:
        if not self.engine.splits:
            return Problem(
                "MEL0314",
                route.ref,
                f"{self.plugin.name} cannot split by weights: clients would not read their writes",
                "use one destination; canaries are prefixes, mirrors or a read split",
                unserved=True,
            )
        for destination, part in zip(route.destinations, parts, strict=True):
            if part.discovery is Discovery.DNS_ROUND_ROBIN:
                return _one_at_a_time(route, destination)
        policies = [self._policy(destination) for destination in route.destinations]
        for (one, policy), (other, next_policy) in pairwise(
            zip(route.destinations, policies, strict=True)
        ):
            if _shape(policy) != _shape(next_policy):
                return _differing(route, one, other)
        name = str(
            naming.SplitName(
                self.service.host, self.port.number, rule.ref.namespace, rule.ref.name, label
            )
        )
        return Split(name, parts, policies[0], route.ref.at(f"{route.ref.field}.route"))

    def _mirrors(
        self, route: Route, label: str
    ) -> tuple[tuple[ResolvedMirror, ...], tuple[Problem, ...]]:
        mirrors: list[ResolvedMirror] = []
        problems: list[Problem] = []
        for index, mirror in enumerate(route.mirrors):
            part = self._part(mirror.destination, route)
            if isinstance(part, Problem):
                problems.append(replace(part, unserved=False))
                continue
            key = naming.mirror_key(self.service.host, self.port.number, label, index)
            mirrors.append(ResolvedMirror(mirror, part.label, key))
        return tuple(mirrors), tuple(problems)

    def _part(self, destination: Destination, route: Route) -> Part | Problem:
        return find_part(self.mesh, self.namespace, destination, self.port.number, route.ref)

    def _policy(self, destination: Destination) -> TrafficPolicy:
        service = service_of(self.mesh, destination.host, self.namespace)
        policy = policy_of(self.mesh, service, self.namespace) if service else None
        return effective(policy, destination.port or self.port.number, destination.subset)


@dataclass(frozen=True, slots=True)
class _Outcome:
    resolved: ResolvedRoute | None
    splits: tuple[Split, ...]
    problems: tuple[Problem, ...]


def destinations(rule: Rule) -> Iterator[Destination]:
    """All destinations that a rule names, mirrors included."""
    for route in rule.routes:
        yield from route.destinations
        for mirror in route.mirrors:
            yield mirror.destination


def find_part(
    mesh: Mesh, namespace: str, destination: Destination, port: int, ref: Ref
) -> Part | Problem:
    """The endpoints of a destination as clients of a namespace see it, or why there are none to
    name. ``port`` where the destination names none; ``ref`` is the route.
    """
    where = ref.at(f"{ref.field}.route")
    number = destination.port or port
    service = service_of(mesh, destination.host, namespace)
    if service is None:
        return Problem(
            "MEL0301",
            where,
            f"no service {destination.host!r} is visible to namespace {namespace!r}",
            "correct the host, or export the service to this namespace",
            unserved=True,
        )
    if service.port(number) is None:
        ports = ", ".join(str(port.number) for port in service.ports) or "none"
        return Problem(
            "MEL0303",
            where,
            f"{destination.host!r} has no port {number}",
            f"name one of its ports: {ports}",
            unserved=True,
        )
    policy = policy_of(mesh, service, namespace)
    labels: Mapping[str, str] = {}
    if destination.subset:
        subset = policy.subset(destination.subset) if policy else None
        if subset is None:
            names = ", ".join(entry.name for entry in policy.subsets) if policy else ""
            return Problem(
                "MEL0302",
                where,
                f"no DestinationRule of {destination.host!r} defines the subset "
                f"{destination.subset!r}",
                f"define it, or name one of: {names}" if names else "define it there",
                unserved=True,
            )
        labels = subset.labels
    return Part(
        label=str(naming.ClusterName(destination.host, number, destination.subset)),
        service=(service.namespace, service.host),
        port=number,
        labels=labels,
        weight=destination.weight,
        blocked=effective(policy, number, destination.subset).tls != "DISABLE",
        discovery=service.discovery,
    )


def effective(policy: DestinationPolicy | None, port: int, subset: str) -> TrafficPolicy:
    """What applies to a port's subset: a port's settings replace the host's, a subset's override
    them field by field (Istio's rule).
    """
    if policy is None:
        return TrafficPolicy()
    base = policy.port_policies.get(port, policy.policy)
    found = policy.subset(subset) if subset else None
    if found is None or found.policy is None:
        return base
    own = found.policy
    return TrafficPolicy(
        load_balancer=own.load_balancer or base.load_balancer,
        max_connections=own.max_connections or base.max_connections,
        connect_timeout=own.connect_timeout or base.connect_timeout,
        outlier_detection=own.outlier_detection or base.outlier_detection,
        tls=own.tls if own.tls != "DISABLE" else base.tls,
    )


def _shape(policy: TrafficPolicy) -> tuple[object, ...]:
    """What all destinations of one split must share: the cluster has it once."""
    return policy.load_balancer, policy.outlier_detection


def _differing(route: Route, one: Destination, other: Destination) -> Problem:
    return Problem(
        "MEL0312",
        route.ref,
        f"{one.host} {one.subset} and {other.host} {other.subset} have different load balancer or "
        "outlier settings, and a split is one cluster",
        "give both the same settings in their DestinationRules",
        unserved=True,
    )


def _told(remark: Remark) -> Problem:
    return Problem(
        remark.code, remark.about, remark.cause, remark.next_step, unserved=remark.unserved
    )


def _one_at_a_time(route: Route, destination: Destination) -> Problem:
    return Problem(
        "MEL0317",
        route.ref,
        f"{destination.host} is resolved to one address at a time, and in a split every address "
        "has a share",
        "write resolution: DNS in its ServiceEntry, or use one destination",
        unserved=True,
    )


def _unreachable(route: Route, above: Route) -> Problem:
    matches = "the same requests" if above.match else "every request"
    return Problem(
        "MEL0310",
        route.ref,
        f"the route above it ({above.ref.field}) matches {matches}",
        "remove one of them" if above.match else "move the route without a match to the end",
        unserved=True,
    )


def _without_destination(route: Route) -> Problem:
    return Problem(
        "MEL0109",
        route.ref.at(f"{route.ref.field}.route"),
        "the route has no destination",
        "name the host that its requests go to",
        unserved=True,
    )


def _nothing_left(rule: Rule, service: Service) -> Problem:
    return Problem(
        "MEL0315",
        rule.ref,
        f"no route of the rule can be served: all requests go to {service.host}'s own endpoints",
        "correct the routes that are reported",
    )
