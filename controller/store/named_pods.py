"""Pods that are endpoints by their names: what a StatefulSet calls them is known beforehand."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from meltemi.controller.offline.families import ranked
from meltemi.protocols.model import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.store.objects import HostPods, Pod
    from meltemi.controller.store.topology import Locate
    from meltemi.protocols.model import Ref

HostKey = tuple[str, str]
"""(namespace, host) of a service."""


class NamedPods:
    """Which Pods stand for which hosts, whether they are there or not.

    The methods that change something answer the hosts whose endpoints may differ now.
    """

    def __init__(self) -> None:
        self._pods: dict[tuple[str, str], Pod] = {}
        self._named: dict[tuple[HostKey, Ref], HostPods] = {}
        self._by_pod: defaultdict[tuple[str, str], set[tuple[HostKey, Ref]]] = defaultdict(set)

    def put(self, owner: Ref, named: HostPods) -> HostKey:
        """An object names these for a host."""
        key = (named.namespace, named.host)
        if (before := self._named.get((key, owner))) is not None:
            self.drop(owner, before)
        self._named[key, owner] = named
        for pod in named.pods:
            self._by_pod[named.namespace, pod].add((key, owner))
        return key

    def drop(self, owner: Ref, named: HostPods) -> HostKey:
        """It names none any more."""
        key = (named.namespace, named.host)
        for pod in self._named.pop((key, owner)).pods:
            naming = self._by_pod[named.namespace, pod]
            naming.discard((key, owner))
            if not naming:
                del self._by_pod[named.namespace, pod]
        return key

    def put_pod(self, pod: Pod) -> set[HostKey]:
        """A Pod is now this."""
        self._pods[pod.namespace, pod.name] = pod
        return self._hosts(pod)

    def drop_pod(self, pod: Pod) -> set[HostKey]:
        """A Pod is gone."""
        self._pods.pop((pod.namespace, pod.name), None)
        return self._hosts(pod)

    def endpoints(self, key: HostKey, owner: Ref, locate: Locate) -> tuple[Endpoint, ...]:
        """Those that an object names for a host, and that have an address."""
        named = self._named.get((key, owner))
        return () if named is None else tuple(self._endpoints(named, locate))

    def _endpoints(self, named: HostPods, locate: Locate) -> Iterator[Endpoint]:
        for name in named.pods:
            pod = self._pods.get((named.namespace, name))
            if pod is not None and pod.addresses:
                address, locality = ranked(pod.addresses)[0], locate(pod.node)
                yield Endpoint(address, named.ports, pod.labels, locality)

    def _hosts(self, pod: Pod) -> set[HostKey]:
        return {key for key, _ in self._by_pod.get((pod.namespace, pod.name), ())}
