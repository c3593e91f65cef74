"""What compiling costs: everything once, then one changed route and one changed endpoint.

Run as ``python -m benchmarks.compile``. Times are CPU milliseconds to encoded bytes in a group's
snapshot. The floor beside them is one ``blake2b`` and one dict copy of the same size: what a
change of an immutable snapshot costs at least.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field, replace
from time import process_time
from typing import TYPE_CHECKING

from meltemi.protocols.api import Capability, Target
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
    Mirror,
    Port,
    Ref,
    Route,
    Rule,
    Service,
    Subset,
)
from meltemi.protocols.registry import load

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOLS = ("dubbo", "thrift", "redis", "tcp")
ENDPOINTS = 20
REPEATS = 40


@dataclass(slots=True)
class Tables:
    """A mesh that can be changed under the compiler."""

    services: dict[str, tuple[Service, ...]] = field(default_factory=dict[str, tuple[Service, ...]])
    endpoints: dict[tuple[str, str], tuple[Endpoint, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[Endpoint, ...]]
    )
    rules: dict[str, tuple[Rule, ...]] = field(default_factory=dict[str, tuple[Rule, ...]])
    policies: dict[str, tuple[DestinationPolicy, ...]] = field(
        default_factory=dict[str, tuple[DestinationPolicy, ...]]
    )

    def mesh(self) -> Mesh:
        """The view that a compiler reads."""
        return Mesh(self.services, self.endpoints, self.rules, self.policies)

    def add(self, index: int) -> None:
        """One service with two subsets, 20 endpoints and a rule of two routes."""
        protocol = PROTOCOLS[index % len(PROTOCOLS)]
        name, number = f"svc-{index}", 10_000 + index
        host = f"{name}.default.svc.cluster.local"
        ref = Ref("Service", "default", name)
        port = Port(number, f"tcp-{protocol}", protocol, ref.at("spec.ports[0]"))
        self.services[host] = (Service(ref, host, "default", (port,)),)
        self.endpoints["default", host] = tuple(
            Endpoint(f"10.{index >> 8}.{index & 255}.{n}", {number: 8000}, {"version": f"v{n % 2}"})
            for n in range(1, ENDPOINTS + 1)
        )
        policy = Ref("DestinationRule", "default", name)
        subsets = tuple(
            Subset(f"v{n}", {"version": f"v{n}"}, policy.at(f"spec.subsets[{n}]")) for n in (0, 1)
        )
        self.policies[host] = (DestinationPolicy(policy, host, subsets=subsets),)
        self.rules[host] = (Rule(Ref("MetaRouter", "default", name), (host,), ()),)
        self.route(host, "first")

    def route(self, host: str, value: str) -> None:
        """Change what the first route matches."""
        (rule,) = self.rules[host]
        protocol = self.services[host][0].ports[0].protocol
        one, other = Destination(host, subset="v0"), Destination(host, subset="v1")
        matched = Route(rule.ref.at("spec.routes[0]"), "matched", destinations=(one,))
        rest = Route(rule.ref.at("spec.routes[1]"), "rest", destinations=(other,))
        if protocol == "redis":
            matcher = {"key": Matcher(MatchKind.PREFIX, value)}
            matched = replace(matched, match=matcher, mirrors=(Mirror(other, 10),))
        elif protocol != "tcp":
            matched = replace(matched, match={"method": Matcher(MatchKind.EXACT, value)})
            rest = replace(rest, destinations=(replace(one, weight=80), replace(other, weight=20)))
        routes = (rest,) if protocol == "tcp" else (matched, rest)
        self.rules[host] = (replace(rule, routes=routes),)


def exhaust(pieces: Iterator[None]) -> float:
    """CPU seconds."""
    started = process_time()
    for _ in pieces:
        pass
    return process_time() - started


def measure(count: int) -> tuple[float, float, float]:
    """Cold seconds; median milliseconds of a route's and of an endpoint's change."""
    tables = Tables()
    for index in range(count):
        tables.add(index)
    registry = load()
    compiler = Compiler(registry, tables.mesh())
    key = GroupKey(Target(Capability(registry.extensions, (1, 40)), rtds=True))
    cold = exhaust(compiler.open(key))
    hosts = [
        host for host in tables.services if tables.services[host][0].ports[0].protocol != "tcp"
    ]
    routes: list[float] = []
    endpoints: list[float] = []
    for turn in range(REPEATS):
        host = hosts[turn % len(hosts)]
        tables.route(host, f"value-{turn}")
        routes.append(exhaust(compiler.update(Dirty(hosts=frozenset({host})))))
        if not compiler.group(key).take_changed():
            raise AssertionError(f"the change of {host} changed nothing")
        tables.endpoints["default", host] = tables.endpoints["default", host][1:]
        endpoints.append(exhaust(compiler.update(Dirty(endpoints=frozenset({host})))))
        if not compiler.group(key).take_changed():
            raise AssertionError(f"the endpoints of {host} changed nothing")
    return cold, statistics.median(routes) * 1e3, statistics.median(endpoints) * 1e3


def main() -> None:
    """Print one line per size."""
    out = sys.stdout.write
    out(f"{'pieces':>8} {'cold s':>8} {'route ms':>9} {'endpoint ms':>12}\n")
    for count in (100, 1_000, 4_000):
        cold, route, endpoint = measure(count)
        out(f"{count:>8} {cold:>8.2f} {route:>9.2f} {endpoint:>12.2f}\n")


if __name__ == "__main__":
    main()
