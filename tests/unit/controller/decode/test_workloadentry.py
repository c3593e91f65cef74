"""WorkloadEntries: machines beside Pods."""

from __future__ import annotations

import pytest

from meltemi.controller.store.objects import Workload
from meltemi.protocols.model import Locality
from tests.written import decoded, rejected, told, value


def workload(spec: str, *lines: str, metadata: str = "") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n"
        f"metadata: {{name: vm, namespace: demo{metadata}}}\nspec: {spec}\n"
        + "".join(f"{line}\n" for line in lines)
    )


def test_everything_that_is_used_of_it() -> None:
    text = workload(
        "{address: '::0001', ports: {tcp-dubbo: 7}, labels: {app: shop}, locality: eu/eu-1, "
        "weight: 3, network: vms, serviceAccount: shop}"
    )
    assert value(text, Workload) == Workload(
        "demo", "vm", "::1", {"app": "shop"}, {"tcp-dubbo": 7}, Locality("eu", "eu-1"), 3
    )
    assert told(text) == []


def test_its_labels_come_before_those_of_the_object() -> None:
    text = workload(
        "{address: 10.0.0.1, labels: {app: shop}}", metadata=", labels: {app: x, version: v1}"
    )
    assert value(text, Workload).labels == {"app": "shop", "version": "v1"}


def test_it_may_be_known_by_name() -> None:
    assert value(workload("{address: Vm.Example}"), Workload).address == "vm.example"


@pytest.mark.parametrize("spec", ["{}", "{address: 'unix:///x'}", "{address: '*.example'}"])
def test_without_an_address_nobody_reaches_it(spec: str) -> None:
    assert told(workload(spec)) == [("MEL0203", "spec.address")]
    assert decoded(workload(spec)).values == ()


def test_a_port_must_be_one() -> None:
    assert rejected(workload("{address: 10.0.0.1, ports: {a: 70000}}")) == [
        ("MEL0102", "spec.ports[a]")
    ]


@pytest.mark.parametrize(("healthy", "ready"), [("True", True), ("False", False)])
def test_its_health_counts_where_somebody_looks(healthy: str, ready: bool) -> None:
    status = f"status: {{conditions: [{{type: Healthy, status: '{healthy}'}}]}}"
    assert value(workload("{address: 10.0.0.1}", status), Workload).ready is ready
