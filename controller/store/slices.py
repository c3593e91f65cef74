"""Joins EndpointSlices and Pods to the endpoints of Kubernetes Services, by index."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from meltemi.controller.offline.families import is_ipv6, paired
from meltemi.protocols.model import Endpoint

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from meltemi.controller.offline.families import Owner
    from meltemi.controller.store.objects import Identity, Pod, Slice, SliceEndpoint
    from meltemi.controller.store.topology import Locate
    from meltemi.protocols.model import Service

ServiceKey = tuple[str, str]
"""(namespace, name) of a Kubernetes Service."""

Owned: TypeAlias = "tuple[Endpoint, Owner | None]"
"""An endpoint and the Pod behind it, if one is known."""

_Key = TypeVar("_Key", bound="Hashable")
_Member = TypeVar("_Member", bound="Hashable")


class SliceJoin:
    """Slices and Pods, and which Services each of them touches.

    ``put_*`` and ``drop_*`` answer the Services whose endpoints may differ now.
    """

    def __init__(self) -> None:
        self._slices: dict[Identity, Slice] = {}
        self._of_service: defaultdict[ServiceKey, set[Identity]] = defaultdict(set)
        self._pods: dict[tuple[str, str], Pod] = {}
        self._pods_at: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        # Which slices mention a Pod by name, or an address in a namespace.
        self._by_pod: defaultdict[tuple[str, str], set[Identity]] = defaultdict(set)
        self._by_address: defaultdict[tuple[str, str], set[Identity]] = defaultdict(set)

    def put_slice(self, identity: Identity, piece: Slice) -> set[ServiceKey]:
        """Add or replace an EndpointSlice."""
        touched = self.drop_slice(identity)
        self._slices[identity] = piece
        self._of_service[piece.namespace, piece.service].add(identity)
        for endpoint in piece.endpoints:
            if endpoint.pod is None:
                self._by_address[piece.namespace, endpoint.address].add(identity)
            else:
                self._by_pod[endpoint.pod].add(identity)
        return touched | {(piece.namespace, piece.service)}

    def drop_slice(self, identity: Identity) -> set[ServiceKey]:
        """Remove an EndpointSlice, if it is there."""
        if (piece := self._slices.pop(identity, None)) is None:
            return set()
        _discard(self._of_service, (piece.namespace, piece.service), identity)
        for endpoint in piece.endpoints:
            if endpoint.pod is None:
                _discard(self._by_address, (piece.namespace, endpoint.address), identity)
            else:
                _discard(self._by_pod, endpoint.pod, identity)
        return {(piece.namespace, piece.service)}

    def put_pod(self, pod: Pod) -> set[ServiceKey]:
        """Add or replace a Pod."""
        touched = self.drop_pod((pod.namespace, pod.name))
        self._pods[pod.namespace, pod.name] = pod
        for address in pod.addresses:
            self._pods_at[pod.namespace, address].add(pod.name)
        return touched | set(self._touched_by(pod))

    def drop_pod(self, key: tuple[str, str]) -> set[ServiceKey]:
        """Remove a Pod, if it is there."""
        if (pod := self._pods.pop(key, None)) is None:
            return set()
        for address in pod.addresses:
            _discard(self._pods_at, (pod.namespace, address), pod.name)
        return set(self._touched_by(pod))

    def endpoints(self, service: Service, locate: Locate) -> tuple[Endpoint, ...]:
        """The Service's endpoints, sorted; one that several slices list appears once, a Pod with
        addresses of both IP versions as one, the version of the Service's own address first.
        """
        numbers = {port.name: port.number for port in service.ports}
        pieces = self._of_service.get((service.ref.namespace, service.ref.name), set())
        found = (
            self._endpoint(self._slices[identity], endpoint, numbers, locate)
            for identity in sorted(pieces)
            for endpoint in self._slices[identity].endpoints
        )
        listed = _once(sorted((e for e in found if e is not None), key=_order))
        ipv6_first = any(map(is_ipv6, service.addresses[:1]))
        return tuple(sorted(paired(listed, ipv6_first=ipv6_first), key=_rank))

    def _endpoint(
        self, piece: Slice, endpoint: SliceEndpoint, numbers: Mapping[str, int], locate: Locate
    ) -> Owned | None:
        ports = {
            numbers[name]: target for name, target in sorted(piece.ports.items()) if name in numbers
        }
        if not ports:
            return None
        pod = self._pod(piece.namespace, endpoint)
        found = Endpoint(
            address=endpoint.address,
            ports=ports,
            labels={} if pod is None else pod.labels,
            locality=locate(endpoint.node, endpoint.zone),
            ready=endpoint.ready,
        )
        return found, endpoint.pod or (None if pod is None else (pod.namespace, pod.name))

    def _pod(self, namespace: str, endpoint: SliceEndpoint) -> Pod | None:
        """By name; else by address, when exactly one Pod of the namespace has it."""
        if endpoint.pod is not None:
            return self._pods.get(endpoint.pod)
        names = self._pods_at.get((namespace, endpoint.address), set())
        return self._pods[namespace, min(names)] if len(names) == 1 else None

    def _touched_by(self, pod: Pod) -> Iterator[ServiceKey]:
        slices = set(self._by_pod.get((pod.namespace, pod.name), ()))
        for address in pod.addresses:
            slices |= self._by_address.get((pod.namespace, address), set())
        for identity in slices:
            piece = self._slices[identity]
            yield piece.namespace, piece.service


def _order(owned: Owned) -> tuple[object, ...]:
    """A total order; ready ones first, so that of two entries for one address that one stays."""
    return (*_rank(owned[0]), owned[1] or ())


def _rank(endpoint: Endpoint) -> tuple[object, ...]:
    return (
        not endpoint.ready,
        endpoint.address,
        sorted(endpoint.ports.items()),
        sorted(endpoint.labels.items()),
        (endpoint.locality.region, endpoint.locality.zone, endpoint.locality.sub_zone),
    )


def _once(endpoints: Iterable[Owned]) -> Iterator[Owned]:
    """While Kubernetes moves an endpoint from slice to slice, both list it."""
    seen: set[tuple[str, int, int]] = set()
    for endpoint, owner in endpoints:
        fresh = {
            number: target
            for number, target in endpoint.ports.items()
            if (endpoint.address, number, target) not in seen
        }
        if fresh:
            seen |= {(endpoint.address, *pair) for pair in fresh.items()}
            whole = len(fresh) == len(endpoint.ports)
            yield endpoint if whole else replace(endpoint, ports=fresh), owner


def _discard(index: dict[_Key, set[_Member]], key: _Key, member: _Member) -> None:
    members = index.get(key)
    if members is None:
        return
    members.discard(member)
    if not members:
        del index[key]
