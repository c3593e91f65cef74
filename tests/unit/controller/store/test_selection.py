"""ServiceEntries that select Pods and WorkloadEntries."""

from __future__ import annotations

import pytest

from meltemi.controller.store.objects import HostSelector, Node, Pod, SelectedPort, Workload
from meltemi.controller.store.selection import Selection
from meltemi.controller.store.topology import Topology
from meltemi.protocols.model import Endpoint, Locality, Ref

ENTRY = Ref("ServiceEntry", "demo", "shop")
HOST = ("demo", "shop.example")
PORTS = (SelectedPort(20880, "tcp-dubbo", 30880),)
SELECTOR = HostSelector(*HOST, {"app": "shop", "tier": "1"}, PORTS)
LABELS = {"app": "shop", "tier": "1", "version": "v1"}
POD = Pod("demo", "shop-0", ("fd00::1", "10.0.0.1"), LABELS, node="n1")
MACHINE = Workload("demo", "vm", "10.0.0.9", LABELS, {"tcp-dubbo": 7}, Locality("eu"), 3)


def locate(node: str, zone: str = "") -> Locality:
    topology = Topology()
    topology.put(Node("n1", Locality("us", "us-1")))
    return topology.locality(node, zone)


def chosen(*workloads: Pod | Workload, selector: HostSelector = SELECTOR) -> tuple[Endpoint, ...]:
    selection = Selection()
    selection.put(ENTRY, selector)
    for workload in workloads:
        selection.put_workload(workload)
    return selection.endpoints(HOST, ENTRY, locate)


def test_pods_and_machines_are_endpoints_alike() -> None:
    assert chosen(POD, MACHINE) == (
        Endpoint("10.0.0.1", {20880: 30880}, LABELS, Locality("us", "us-1"), also=("fd00::1",)),
        Endpoint("10.0.0.9", {20880: 7}, LABELS, Locality("eu"), 3),
    )


@pytest.mark.parametrize(
    "other",
    [
        Pod("demo", "p", ("10.0.0.2",), {"app": "shop"}),
        Pod("demo", "p", ("10.0.0.2",), {"app": "shop", "tier": "2"}),
        Pod("other", "p", ("10.0.0.2",), LABELS),
        Pod("demo", "p", (), LABELS),
        Workload("demo", "w", "vm.example", LABELS),
    ],
    ids=["fewer labels", "other labels", "other namespace", "no address", "a name"],
)
def test_others_are_not(other: Pod | Workload) -> None:
    assert chosen(other) == ()


def test_a_name_is_an_endpoint_where_names_are_resolved() -> None:
    named = HostSelector(*HOST, {"app": "shop"}, PORTS, names=True)
    (found,) = chosen(Workload("demo", "w", "vm.example", LABELS), selector=named)
    assert (found.address, found.ports) == ("vm.example", {20880: 30880})


@pytest.mark.parametrize(
    "workload",
    [
        Pod("demo", "p", ("10.0.0.2",), LABELS, ready=False),
        Workload("demo", "w", "10.0.0.2", LABELS, ready=False),
    ],
)
def test_readiness_is_told(workload: Pod | Workload) -> None:
    assert [each.ready for each in chosen(workload)] == [False]


def test_a_change_concerns_the_hosts_that_select_the_workload_before_or_after() -> None:
    selection = Selection()
    assert selection.put(ENTRY, SELECTOR) == HOST
    assert selection.put_workload(POD) == {HOST}
    stranger = Pod("demo", "shop-0", POD.addresses, {"app": "cart", "tier": "1"})
    assert selection.put_workload(stranger) == {HOST}
    assert selection.put_workload(stranger) == set()
    assert selection.drop_workload(stranger) == set()
    assert selection.drop_workload(stranger) == set()


def test_a_pod_and_a_machine_of_one_name_are_two() -> None:
    assert len(chosen(POD, Workload("demo", POD.name, "10.0.0.9", LABELS))) == 2


def test_another_selector_takes_the_place_of_an_objects_earlier_one() -> None:
    selection = Selection()
    selection.put_workload(POD)
    selection.put(ENTRY, SELECTOR)
    selection.put(ENTRY, HostSelector(*HOST, {"app": "cart"}, PORTS))
    assert selection.endpoints(HOST, ENTRY, locate) == ()
    assert selection.put_workload(POD) == set()
    selection.drop(ENTRY, SELECTOR)
    assert selection.put_workload(Pod("demo", "c", ("10.0.0.3",), {"app": "cart"})) == set()
