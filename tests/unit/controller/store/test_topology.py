"""Endpoints are where the Nodes are that they run on, in whatever order both appear."""

from __future__ import annotations

from itertools import permutations

import pytest

from meltemi.controller.store.objects import (
    Decoded,
    Delete,
    HostPods,
    HostSelector,
    Identity,
    Node,
    Pod,
    SelectedPort,
    Slice,
    SliceEndpoint,
    Upsert,
    Value,
)
from meltemi.controller.store.store import Store
from meltemi.controller.store.topology import Topology
from meltemi.protocols.model import Dirty, Locality, Port, Ref, Service

EU = Locality("eu", "eu-1", "rack-7")
US = Locality("us", "us-1")
PORTS = {20880: 30880}


def host(name: str) -> str:
    return f"{name}.demo.svc.cluster.local"


def upsert(kind: str, name: str, *values: Value) -> Upsert:
    return Upsert(Decoded(Identity("", kind, "demo", name), values))


def node(name: str, locality: Locality) -> Upsert:
    return upsert("Node", name, Node(name, locality))


def service(name: str, kind: str = "Service") -> Service:
    ref = Ref(kind, "demo", name)
    return Service(ref, host(name), "demo", (Port(20880, "p", "dubbo", ref),))


def shop(*endpoints: SliceEndpoint, name: str = "shop") -> list[Upsert]:
    piece = Slice("demo", name, {"p": 30880}, endpoints)
    return [upsert("Service", name, service(name)), upsert("EndpointSlice", name, piece)]


def localities(store: Store, name: str = "shop") -> list[Locality]:
    return [each.locality for each in store.mesh.endpoints["demo", host(name)]]


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        (SliceEndpoint("10.0.0.1", node="n1", zone="eu-1"), EU),
        (SliceEndpoint("10.0.0.1", node="n1"), EU),
        (SliceEndpoint("10.0.0.1", node="n1", zone="eu-2"), Locality("eu", "eu-2", "rack-7")),
        (SliceEndpoint("10.0.0.1", node="n2", zone="eu-1"), Locality(zone="eu-1")),
        (SliceEndpoint("10.0.0.1", zone="eu-1"), Locality(zone="eu-1")),
        (SliceEndpoint("10.0.0.1"), Locality()),
    ],
    ids=["both agree", "no zone", "a zone of its own", "unknown", "no node", "nothing"],
)
def test_an_endpoint_is_where_its_node_is_in_the_zone_that_it_states(
    endpoint: SliceEndpoint, expected: Locality
) -> None:
    store = Store()
    store.apply([node("n1", EU), *shop(endpoint)])
    assert localities(store) == [expected]


def test_the_order_in_which_objects_come_does_not_matter() -> None:
    for order in permutations([node("n1", EU), *shop(SliceEndpoint("10.0.0.1", node="n1"))]):
        store = Store()
        for change in order:
            store.apply([change])
        assert localities(store) == [EU]


def test_a_node_that_comes_moves_or_goes_is_a_change_of_the_endpoints_on_it_alone() -> None:
    store = Store()
    store.apply(shop(SliceEndpoint("10.0.0.1", node="n1", zone="eu-1")))
    store.apply(shop(SliceEndpoint("10.0.0.2", node="n2"), name="cart"))
    moved = Dirty(endpoints=frozenset({host("shop")}))
    assert store.apply([node("n1", EU)]) == moved
    assert localities(store) == [EU]
    assert localities(store, "cart") == [Locality()]
    assert store.apply([node("n1", Locality("us", "eu-1"))]) == moved
    assert localities(store) == [Locality("us", "eu-1")]
    assert store.apply([Delete(Identity("", "Node", "demo", "n1"))]) == moved
    assert localities(store) == [Locality(zone="eu-1")]


def test_a_node_that_nothing_runs_on_or_that_stays_where_it_is_changes_nothing() -> None:
    store = Store()
    store.apply([node("n1", EU), *shop(SliceEndpoint("10.0.0.1", node="n1"))])
    assert store.apply([node("n1", EU)]) == Dirty()
    assert store.apply([node("n2", US)]) == Dirty()


def test_an_endpoint_that_moves_to_another_node_is_there() -> None:
    store = Store()
    store.apply([node("n1", EU), node("n2", US), *shop(SliceEndpoint("10.0.0.1", node="n1"))])
    store.apply(shop(SliceEndpoint("10.0.0.1", node="n2")))
    assert localities(store) == [US]


@pytest.mark.parametrize(
    "chosen",
    [
        HostSelector("demo", host("shop"), {"app": "shop"}, (SelectedPort(20880, "p", 30880),)),
        HostPods("demo", host("shop"), ("pod",), PORTS),
    ],
    ids=["by labels", "by name"],
)
def test_pods_that_are_endpoints_themselves_are_where_they_run(
    chosen: HostSelector | HostPods,
) -> None:
    store = Store()
    entry = upsert("ServiceEntry", "shop", service("shop", "ServiceEntry"), chosen)
    pod = Pod("demo", "pod", ("10.0.0.1",), {"app": "shop"}, node="n1")
    store.apply([entry, upsert("Pod", "pod", pod)])
    assert localities(store) == [Locality()]
    assert store.apply([node("n1", EU)]) == Dirty(endpoints=frozenset({host("shop")}))
    assert localities(store) == [EU]


def test_only_services_with_endpoints_on_a_node_are_looked_at_when_it_changes() -> None:
    topology = Topology()
    shop, cart = ("demo", "shop"), ("demo", "cart")
    topology.depend(shop, {"n1", "n2"})
    topology.depend(cart, {"n2"})
    assert topology.put(Node("n1", EU)) == {shop}
    assert topology.put(Node("n2", EU)) == {shop, cart}
    topology.depend(shop, {"n1"})
    assert topology.put(Node("n2", US)) == {cart}
    topology.depend(cart, ())
    assert topology.drop(Node("n2", US)) == set()
    assert topology.drop(Node("n1", EU)) == {shop}
