"""The endpoints of every service, wherever they are listed."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from meltemi.controller.store.hosts import service_host
from meltemi.controller.store.named_pods import NamedPods
from meltemi.controller.store.selection import Selection
from meltemi.controller.store.slices import SliceJoin
from meltemi.controller.store.topology import Topology
from meltemi.protocols.model import Discovery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meltemi.controller.store.objects import (
        HostEndpoints,
        HostPods,
        HostSelector,
        Identity,
        Node,
        Pod,
        Slice,
        Workload,
    )
    from meltemi.controller.store.slices import ServiceKey
    from meltemi.controller.store.topology import HostKey, Locate
    from meltemi.protocols.model import Endpoint, Locality, Ref, Service

KUBERNETES_SERVICE = "Service"


class EndpointTable:
    """Endpoints by (namespace, host), recomputed for exactly the services that a change touches.

    A namespace may have several objects for one host; the endpoints are those of the first
    candidate of that namespace, which is also the one that clients see.
    """

    def __init__(self, services: Mapping[str, tuple[Service, ...]]) -> None:
        self._services = services
        self._join = SliceJoin()
        self._named = NamedPods()
        self._selection = Selection()
        self._topology = Topology()
        self._listed: dict[HostKey, dict[Ref, tuple[Endpoint, ...]]] = {}
        self._touched: set[HostKey] = set()
        self._view: dict[HostKey, tuple[Endpoint, ...]] = {}

    @property
    def view(self) -> Mapping[HostKey, tuple[Endpoint, ...]]:
        """Live: as of the last ``settle``. A service without endpoints is absent."""
        return MappingProxyType(self._view)

    def put_slice(self, identity: Identity, piece: Slice) -> None:
        """An EndpointSlice is now this."""
        self._touch_services(self._join.put_slice(identity, piece))

    def drop_slice(self, identity: Identity) -> None:
        """An EndpointSlice is gone."""
        self._touch_services(self._join.drop_slice(identity))

    def put_pod(self, pod: Pod) -> None:
        """A Pod is now this."""
        self._touch_services(self._join.put_pod(pod))
        self._touched |= self._named.put_pod(pod) | self._selection.put_workload(pod)

    def drop_pod(self, pod: Pod) -> None:
        """A Pod is gone."""
        self._touch_services(self._join.drop_pod((pod.namespace, pod.name)))
        self._touched |= self._named.drop_pod(pod) | self._selection.drop_workload(pod)

    def put_node(self, node: Node) -> None:
        """A Node is now this."""
        self._touched |= self._topology.put(node)

    def drop_node(self, node: Node) -> None:
        """A Node is gone."""
        self._touched |= self._topology.drop(node)

    def put_workload(self, workload: Workload) -> None:
        """A WorkloadEntry is now this."""
        self._touched |= self._selection.put_workload(workload)

    def drop_workload(self, workload: Workload) -> None:
        """A WorkloadEntry is gone."""
        self._touched |= self._selection.drop_workload(workload)

    def put_listed(self, identity: Identity, listed: HostEndpoints) -> None:
        """A ServiceEntry lists these."""
        key = (listed.namespace, listed.host)
        self._listed.setdefault(key, {})[identity.ref()] = listed.endpoints
        self._touched.add(key)

    def drop_listed(self, identity: Identity, listed: HostEndpoints) -> None:
        """A ServiceEntry lists none for this host any more."""
        key = (listed.namespace, listed.host)
        entries = self._listed[key]
        del entries[identity.ref()]
        if not entries:
            del self._listed[key]
        self._touched.add(key)

    def put_named(self, identity: Identity, named: HostPods) -> None:
        """A KafkaCluster names these."""
        self._touched.add(self._named.put(identity.ref(), named))

    def drop_named(self, identity: Identity, named: HostPods) -> None:
        """A KafkaCluster names none for this host any more."""
        self._touched.add(self._named.drop(identity.ref(), named))

    def put_selected(self, identity: Identity, selector: HostSelector) -> None:
        """A ServiceEntry selects these."""
        self._touched.add(self._selection.put(identity.ref(), selector))

    def drop_selected(self, identity: Identity, selector: HostSelector) -> None:
        """A ServiceEntry selects none for this host any more."""
        self._touched.add(self._selection.drop(identity.ref(), selector))

    def touch(self, namespace: str, host: str) -> None:
        """The service itself changed: other ports, or another object wins the host."""
        self._touched.add((namespace, host))

    def settle(self) -> set[str]:
        """Bring the view up to date; answers the hosts that differ. Services settle first."""
        changed = {key[1] for key in self._touched if self._refresh(key)}
        self._touched.clear()
        return changed

    def _refresh(self, key: HostKey) -> bool:
        nodes: set[str] = set()

        def locate(node: str, zone: str = "") -> Locality:
            if node:
                nodes.add(node)
            return self._topology.locality(node, zone)

        before = self._view.get(key)
        if endpoints := self._current(key, locate):
            self._view[key] = endpoints
        else:
            self._view.pop(key, None)
        self._topology.depend(key, nodes)
        return self._view.get(key) != before

    def _current(self, key: HostKey, locate: Locate) -> tuple[Endpoint, ...]:
        namespace, host = key
        for service in self._services.get(host, ()):
            if service.namespace == namespace:
                static = service.discovery is Discovery.STATIC
                if service.ref.kind == KUBERNETES_SERVICE and static:
                    return self._join.endpoints(service, locate)
                owner = service.ref.object
                return (
                    self._named.endpoints(key, owner, locate)
                    or self._selection.endpoints(key, owner, locate)
                    or self._listed.get(key, {}).get(owner, ())
                )
        return ()

    def _touch_services(self, services: Iterable[ServiceKey]) -> None:
        self._touched |= {
            (namespace, service_host(namespace, name)) for namespace, name in services
        }
