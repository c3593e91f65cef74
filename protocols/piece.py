"""The unit of work: one port of a service, as one kind of proxy gets it.

A piece reads what its route table names and produces a handful of encoded resources. When only
endpoints change, only its assignments are encoded again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from meltemi.protocols.assignments import (
    Host,
    LocalityEndpoints,
    encode_assignment,
    with_endpoints,
)
from meltemi.protocols.model import Discovery, Endpoint, Locality, Mesh, Ref
from meltemi.protocols.problem import Problem
from meltemi.protocols.routing import Resolution
from meltemi.protocols.shares import Share, localities
from meltemi.xds.resource import CLUSTER, ENDPOINT, Key, Resource, content_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.protocols import model
    from meltemi.protocols.api import ClusterType, Engine, SocketAddress, Target
    from meltemi.protocols.routing import Part

EXACT_SPLIT = 1_000_000
"""Overprovisioning in percent: a split keeps its weights until a destination is wholly dead."""


@dataclass(frozen=True, slots=True)
class PieceKey:
    """What tells two pieces apart. ``listen`` are the addresses and ports of its listeners,
    ``chosen`` the objects that decide for the host and for the destinations of its rule;
    ``entrances`` as in ``Scope``.
    """

    host: str
    port: int
    target: Target
    listen: tuple[tuple[str, int], ...]
    chosen: tuple[Ref | None, ...]
    entrances: tuple[tuple[str, tuple[SocketAddress, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Reads:
    """What a piece must be compiled again for."""

    hosts: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    secrets: frozenset[tuple[str, str]] = frozenset()
    applications: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Members:
    """Which endpoints a cluster has. ``about`` is the subset, if the cluster is one; ``holder`` is
    the cluster without its endpoints, where they must stand in itself. ``type`` is how it goes on
    from there, if it does.
    """

    cluster: str
    parts: tuple[Part, ...]
    origins: tuple[Ref, ...]
    about: Ref | None = None
    holder: Resource | None = None
    type: ClusterType | None = None

    @property
    def resolved(self) -> bool:
        """Whether the proxy finds out their addresses: then they stand in the cluster."""
        return self.type is not None or any(
            part.discovery is not Discovery.STATIC for part in self.parts
        )

    def within(self, cluster: Resource) -> Members:
        """The same, if need be in this cluster."""
        return replace(self, holder=cluster) if self.resolved else self


@dataclass(frozen=True, slots=True)
class Piece:
    """What one compilation produced.

    ``resources`` by key; ``listeners`` names the listener at each of ``PieceKey.listen``.
    ``unserved`` says why routes of the rule are not in force.
    """

    key: PieceKey
    engine: Engine | None
    rule: model.Rule | None
    reads: Reads
    resources: Mapping[Key, Resource]
    resolution: Resolution
    listeners: tuple[Key, ...] = ()
    members: tuple[Members, ...] = ()
    runtime: Mapping[str, float] = field(default_factory=dict[str, float])
    unserved: Mapping[Ref, str] = field(default_factory=dict[Ref, str])
    problems: tuple[Problem, ...] = ()
    endpoint_problems: tuple[Problem, ...] = ()

    @classmethod
    def empty(cls, key: PieceKey, reads: Reads, problems: tuple[Problem, ...]) -> Piece:
        """A piece that could not be compiled and has no earlier state."""
        return cls(key, None, None, reads, {}, Resolution(()), problems=problems)

    def own_clusters(self) -> dict[Key, Resource]:
        """The clusters and assignments that other services' routes may name."""
        prefix = "outbound|"
        return {
            key: resource
            for key, resource in self.resources.items()
            if key.type_url in {CLUSTER, ENDPOINT} and key.name.startswith(prefix)
        }


def endpoints_of(mesh: Mesh, part: Part) -> list[tuple[Endpoint, int]]:
    """The ready endpoints of a destination, with the port that each listens on."""
    if part.blocked:
        return []
    return [
        (endpoint, endpoint.ports[part.port])
        for endpoint in mesh.endpoints.get(part.service, ())
        if endpoint.ready
        and part.port in endpoint.ports
        and part.labels.items() <= endpoint.labels.items()
    ]


def reassign(piece: Piece, mesh: Mesh) -> Piece:
    """The piece with its assignments encoded from the mesh's present endpoints."""
    resources = dict(piece.resources)
    problems: list[Problem] = []
    for members in piece.members:
        body = _assignment(members, mesh)
        if members.holder is not None:
            held = with_endpoints(members.holder.body, body, logical=_is_logical(members, mesh))
            version = content_version(held)
            resources[members.holder.key] = replace(members.holder, body=held, version=version)
        else:
            resources[Key(ENDPOINT, members.cluster)] = Resource(
                type_url=ENDPOINT,
                name=members.cluster,
                version=content_version(body),
                body=body,
                origins=members.origins,
                unit=(piece.key.host, piece.key.port),
            )
        part = members.parts[0]
        # A part that is blocked is told for what blocks it.
        if members.about is not None and not part.blocked and not endpoints_of(mesh, part):
            problems.append(_empty_subset(members.about, part))
    return replace(piece, resources=resources, endpoint_problems=tuple(problems))


def _is_logical(members: Members, mesh: Mesh) -> bool:
    """Envoy resolves to one address at a time only where there is exactly one endpoint."""
    part = members.parts[0]
    if members.type is not None or part.discovery is not Discovery.DNS_ROUND_ROBIN:
        return False
    return len(endpoints_of(mesh, part)) == 1


def _assignment(members: Members, mesh: Mesh) -> bytes:
    if members.type is not None and members.type.seeds and not members.parts[0].blocked:
        hosts = [Host(address, port) for address, port in members.type.seeds]
        return encode_assignment(members.cluster, [LocalityEndpoints(Locality(), None, hosts)])
    if members.parts[0].weight is None:
        return encode_assignment(members.cluster, _by_locality(mesh, members.parts[0]))
    shares = (
        Share(part.label, part.weight or 0, _hosts(endpoints_of(mesh, part)))
        for part in members.parts
    )
    return encode_assignment(
        members.cluster, localities(shares), overprovisioning_factor=EXACT_SPLIT
    )


def _by_locality(mesh: Mesh, part: Part) -> list[LocalityEndpoints]:
    localities: dict[Locality, list[tuple[Endpoint, int]]] = {}
    for endpoint, port in endpoints_of(mesh, part):
        localities.setdefault(endpoint.locality, []).append((endpoint, port))
    return [LocalityEndpoints(key, None, _hosts(found)) for key, found in localities.items()]


def _hosts(found: list[tuple[Endpoint, int]]) -> list[Host]:
    return [
        Host(endpoint.address, port, endpoint.weight, also=endpoint.also)
        for endpoint, port in found
    ]


def _empty_subset(about: Ref, part: Part) -> Problem:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(part.labels.items()))
    return Problem(
        "MEL0401",
        about,
        f"no ready endpoint of {part.service[1]} has the labels {labels or '(none)'}",
        "correct the labels of the subset or of the endpoints",
    )
