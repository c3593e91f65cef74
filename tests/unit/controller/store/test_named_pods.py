"""Pods become endpoints of the hosts that name them, in whatever order both appear."""

from __future__ import annotations

from itertools import permutations

from meltemi.controller.store.objects import Decoded, Delete, HostPods, Identity, Pod, Upsert
from meltemi.controller.store.store import Store
from meltemi.protocols.model import Dirty, Endpoint, Kafka, Port, Service

HOST = "kafka.example"
CLUSTER = Identity("meltemi.io", "KafkaCluster", "shop", "events")
PORTS = {9092: 9192}


def cluster(*pods: str) -> Upsert:
    ref = CLUSTER.ref()
    ports = (Port(9092, "tcp-kafka", "kafka", ref),)
    service = Service(ref, HOST, "shop", ports, kafka=Kafka(ref, HOST, ()))
    return Upsert(Decoded(CLUSTER, (service, HostPods("shop", HOST, pods, PORTS))))


def pod(name: str, *addresses: str, namespace: str = "shop") -> Upsert:
    found = Pod(namespace, name, addresses)
    return Upsert(Decoded(Identity("", "Pod", namespace, name), (found,)))


def addresses(store: Store) -> list[str]:
    return [endpoint.address for endpoint in store.mesh.endpoints.get(("shop", HOST), ())]


def test_the_order_in_which_objects_come_does_not_matter() -> None:
    changes = cluster("kafka-0", "kafka-1"), pod("kafka-0", "10.0.0.1"), pod("kafka-1", "10.0.0.2")
    for order in permutations(changes):
        store = Store()
        for change in order:
            store.apply([change])
        assert store.mesh.endpoints == {
            ("shop", HOST): (Endpoint("10.0.0.1", PORTS), Endpoint("10.0.0.2", PORTS))
        }


def test_a_pod_that_moves_changes_endpoints_only() -> None:
    store = Store()
    store.apply([cluster("kafka-0"), pod("kafka-0", "10.0.0.1")])
    assert store.apply([pod("kafka-0", "10.0.0.9")]) == Dirty(endpoints=frozenset({HOST}))
    assert addresses(store) == ["10.0.0.9"]


def test_a_pod_without_an_address_or_of_another_namespace_is_no_endpoint() -> None:
    store = Store()
    store.apply([cluster("kafka-0"), pod("kafka-0"), pod("kafka-0", "10.0.0.1", namespace="x")])
    assert addresses(store) == []


def test_a_pod_with_both_kinds_of_addresses_is_one_endpoint() -> None:
    store = Store()
    store.apply([cluster("kafka-0"), pod("kafka-0", "2001:db8::1", "203.0.113.1")])
    assert addresses(store) == ["203.0.113.1"]


def test_a_pod_that_is_gone_or_no_longer_named_is_no_endpoint() -> None:
    store = Store()
    store.apply([cluster("kafka-0", "kafka-1"), pod("kafka-0", "a"), pod("kafka-1", "b")])
    store.apply([Delete(Identity("", "Pod", "shop", "kafka-0"))])
    assert addresses(store) == ["b"]
    store.apply([cluster("kafka-0")])
    assert addresses(store) == []
    # Nobody listens to it any more.
    assert store.apply([pod("kafka-1", "c")]) == Dirty()


def test_without_the_object_there_is_nothing() -> None:
    store = Store()
    store.apply([cluster("kafka-0"), pod("kafka-0", "a")])
    store.apply([Delete(CLUSTER)])
    assert store.mesh.endpoints == {}
