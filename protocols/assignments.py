"""Endpoints to bytes, the hot path; and the bodies that say "nothing here".

A name without a resource must still be answered for endpoints and runtime layers: a proxy that
waits for one holds back its clusters, or its whole start, for 15 s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.service.runtime.v3 import Runtime
from envoy_data_plane.google.protobuf import Struct

from meltemi.protocols._pb import endpoint_pb2
from meltemi.protocols.encode import encode
from meltemi.protocols.model import Locality

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MAX_TOTAL_WEIGHT = 2**32 - 1
"""Of the hosts of a locality, and of the localities: Envoy refuses more."""

_UNHEALTHY = 2
"""``envoy.config.core.v3.HealthStatus``"""


class Host(NamedTuple):
    """One endpoint: an IP address of either version and a port; ``also`` are more addresses of it,
    which Envoy tries where the first cannot be reached.
    """

    address: str
    port: int
    weight: int = 1
    ready: bool = True
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalityEndpoints:
    """The hosts of one locality. ``weight`` is the locality's share where a cluster balances
    between localities: None = not stated, 0 = the locality gets nothing and is left out.
    """

    locality: Locality
    weight: int | None
    endpoints: Sequence[Host]


def encode_assignment(
    cluster: str,
    groups: Iterable[LocalityEndpoints],
    *,
    overprovisioning_factor: int | None = None,
) -> bytes:
    """An ``envoy.config.endpoint.v3.ClusterLoadAssignment``.

    The order of groups and hosts has no meaning: equal sets give equal bytes. Of two hosts with one
    address and port the heavier stays. Weights outside of what Envoy accepts are moved to
    the nearest that it does. ``overprovisioning_factor`` in percent, None = Envoy's 140.

    Raises ValueError for a port or factor that is no 32-bit unsigned integer.
    """
    assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=cluster)
    assignment.endpoints.extend(_localities(groups))
    if overprovisioning_factor is not None:
        assignment.policy.overprovisioning_factor.value = overprovisioning_factor
    return assignment.SerializeToString()


def with_endpoints(cluster: bytes, assignment: bytes, *, logical: bool) -> bytes:
    """An encoded ``Cluster`` with its endpoints in it, for proxies to resolve: where bytes follow
    bytes, protobuf takes the later value of a field. ``logical``: one address at a time.
    """
    held = Cluster(load_assignment=ClusterLoadAssignment.parse(assignment))
    if logical:
        held.type = ClusterDiscoveryType.LOGICAL_DNS
    return cluster + encode(held)


def empty_assignment(cluster: str) -> bytes:
    """The assignment of a cluster that has no endpoints."""
    return encode_assignment(cluster, ())


def empty_layer(name: str) -> bytes:
    """An ``envoy.service.runtime.v3.Runtime`` that sets nothing."""
    return encode(Runtime(name=name, layer=Struct()))


def _localities(
    groups: Iterable[LocalityEndpoints],
) -> Iterator[endpoint_pb2.LocalityLbEndpoints]:
    served = [group for group in groups if group.weight != 0]
    for group in sorted(served, key=_locality_key):
        message = endpoint_pb2.LocalityLbEndpoints(lb_endpoints=_hosts(group.endpoints))
        if group.weight is not None:
            message.load_balancing_weight.value = _weight(group.weight, len(served))
        if (locality := group.locality) != Locality():
            message.locality.region = locality.region
            message.locality.zone = locality.zone
            message.locality.sub_zone = locality.sub_zone
        yield message


def _locality_key(group: LocalityEndpoints) -> tuple[str, str, str]:
    locality = group.locality
    return locality.region, locality.zone, locality.sub_zone


def _hosts(hosts: Sequence[Host]) -> Iterator[endpoint_pb2.LbEndpoint]:
    unique = {(host.address, host.port): host for host in sorted(hosts)}
    for host in unique.values():
        message = endpoint_pb2.LbEndpoint()
        _place(message.endpoint.address, host.address, host.port)
        for address in host.also:
            _place(message.endpoint.additional_addresses.add().address, address, host.port)
        message.load_balancing_weight.value = _weight(host.weight, len(unique))
        if not host.ready:
            message.health_status = _UNHEALTHY
        yield message


def _place(at: endpoint_pb2.Address, address: str, port: int) -> None:
    at.socket_address.address = address
    at.socket_address.port_value = port


def _weight(weight: int, members: int) -> int:
    return min(max(weight, 1), _MAX_TOTAL_WEIGHT // members)
