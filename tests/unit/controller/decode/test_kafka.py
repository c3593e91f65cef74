"""A KafkaCluster stands for ordinary services: the cluster's and one for each broker."""

from __future__ import annotations

import pytest

from meltemi.controller.store.objects import HostEndpoints, HostPods
from meltemi.protocols.model import Kafka, Service
from tests.written import decoded, problems, rejected, told

CLUSTER = """\
    apiVersion: meltemi.io/v1alpha1
    kind: KafkaCluster
    metadata: {name: events, namespace: shop}
    spec:
      host: kafka.example
      brokers:
      - {id: 1, host: 10.0.0.1, port: 9192}
      - {id: 5, host: 10.0.0.5}
      listeners: {portBase: 19090}
    """
BROKERS = """\
      brokers:
      - {id: 1, host: 10.0.0.1, port: 9192}
      - {id: 5, host: 10.0.0.5}
"""
PORT_BASE = "listeners: {portBase: 19090}"
SNI = "listeners: {sni: {port: 9094, domain: Kafka.Example.com.}}"


def services(text: str) -> dict[str, Service]:
    return {v.host: v for v in decoded(text).values if isinstance(v, Service)}


def kafka(text: str) -> Kafka:
    (found,) = {service.kafka for service in services(text).values()}
    assert found is not None
    return found


def addresses(text: str) -> dict[str, list[str]]:
    return {
        v.host: [f"{e.address} {dict(e.ports)}" for e in v.endpoints]
        for v in decoded(text).values
        if isinstance(v, HostEndpoints)
    }


def test_there_is_a_service_for_all_brokers_and_one_for_each() -> None:
    found = services(CLUSTER)
    assert {host: service.ports[0].number for host, service in found.items()} == {
        "kafka.example": 9092,
        "broker-1.kafka.example": 19091,
        "broker-5.kafka.example": 19095,
    }
    assert {service.namespace for service in found.values()} == {"shop"}
    assert {service.ports[0].protocol for service in found.values()} == {"kafka"}
    assert {service.part_of for service in found.values()} == {"", "kafka.example"}


def test_the_endpoints_of_the_cluster_are_all_brokers() -> None:
    assert addresses(CLUSTER) == {
        "kafka.example": ["10.0.0.1 {9092: 9192}", "10.0.0.5 {9092: 9092}"],
        "broker-1.kafka.example": ["10.0.0.1 {19091: 9192}"],
        "broker-5.kafka.example": ["10.0.0.5 {19095: 9092}"],
    }


def test_a_broker_that_moves_changes_its_endpoints_and_no_service() -> None:
    moved = CLUSTER.replace("10.0.0.5", "10.0.0.6")
    assert services(moved) == services(CLUSTER)
    assert addresses(moved)["broker-5.kafka.example"] == ["10.0.0.6 {19095: 9092}"]


def test_a_short_host_is_that_of_a_service_of_the_namespace() -> None:
    assert "kafka.shop.svc.cluster.local" in services(CLUSTER.replace("kafka.example", "kafka"))


def test_with_server_names_everything_has_one_port_and_one_listener() -> None:
    text = CLUSTER.replace(PORT_BASE, SNI)
    ports = {host: service.ports[0] for host, service in services(text).items()}
    assert {port.number for port in ports.values()} == {9094}
    assert [host for host, port in ports.items() if port.listens] == ["kafka.example"]
    assert all(port.tls for port in ports.values())
    assert kafka(text).domain == "kafka.example.com"
    assert {broker.entrance for broker in kafka(text).brokers} == {"kafka.example"}


def test_broker_n_of_a_statefulset_is_its_pod_n() -> None:
    text = CLUSTER.replace(BROKERS, "      statefulSet: {name: kafka, replicas: 2, port: 9192}\n")
    assert [value for value in decoded(text).values if isinstance(value, HostPods)] == [
        HostPods("shop", "kafka.example", ("kafka-0", "kafka-1"), {9092: 9192}),
        HostPods("shop", "broker-0.kafka.example", ("kafka-0",), {19090: 9192}),
        HostPods("shop", "broker-1.kafka.example", ("kafka-1",), {19091: 9192}),
    ]


def test_what_brokers_advertise_is_written_for_each_or_by_their_id() -> None:
    listed = f"{PORT_BASE}\n      advertised: [{{id: 5, host: 10.9.9.9, port: 9292}}]"
    based = f"{PORT_BASE}\n      advertised: {{host: front.example, portBase: 29090}}"
    said = [
        [broker.advertised for broker in kafka(CLUSTER.replace(PORT_BASE, text)).brokers]
        for text in (PORT_BASE, listed, based)
    ]
    assert said == [
        [None, None],
        [None, ("10.9.9.9", 9292)],
        [("front.example", 29091), ("front.example", 29095)],
    ]


def test_a_broker_that_advertises_its_own_address_is_known_to() -> None:
    both = "[{id: 1, host: 10.0.0.1, port: 9192}, {id: 5, host: 10.0.0.1, port: 9192}]"
    text = CLUSTER.replace(PORT_BASE, f"{PORT_BASE}\n      advertised: {both}")
    assert [broker.bypasses for broker in kafka(text).brokers] == [True, False]


def test_api_keys_are_names_or_numbers() -> None:
    text = CLUSTER.replace(
        PORT_BASE,
        f"{PORT_BASE}\n      apiKeys: {{allow: [Fetch, 0, 18, Produce], deny: [DeleteTopics]}}",
    )
    assert (kafka(text).allowed, kafka(text).denied) == ((0, 1, 18), (20,))


def test_an_unknown_api_key_comes_with_what_was_probably_meant() -> None:
    text = CLUSTER.replace(PORT_BASE, f"{PORT_BASE}\n      apiKeys: {{deny: [DeleteTopic]}}")
    (problem,) = problems(text)
    assert problem.next_step == "did you mean DeleteTopics?"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (BROKERS, "", ("MEL0109", "spec.brokers")),
        (BROKERS, f"{BROKERS}      statefulSet: {{name: a, replicas: 1}}\n",
         ("MEL0102", "spec.brokers")),
        ("id: 5", "id: 1", ("MEL0102", "spec.brokers[1].id")),
        ("id: 5", "id: -1", ("MEL0102", "spec.brokers[1].id")),
        ("id: 5", "id: 50000", ("MEL0102", "spec.listeners.portBase")),
        ("port: 9192", "port: 0", ("MEL0102", "spec.brokers[0].port")),
        ("host: kafka.example", "host: 10.0.0.9", ("MEL0102", "spec.host")),
        ("host: kafka.example", "hosts: [a]", ("MEL0109", "spec.host")),
        (PORT_BASE, "listeners: {}", ("MEL0102", "spec.listeners")),
        (PORT_BASE, "listeners: {portBase: 9091}", ("MEL0102", "spec.listeners.portBase")),
        (PORT_BASE, "listeners: {portBase: 1, sni: {port: 9, domain: a.b}}",
         ("MEL0102", "spec.listeners")),
        (PORT_BASE, "listeners: {bootstrap: 8, sni: {port: 9, domain: a.b}}",
         ("MEL0102", "spec.listeners.bootstrap")),
        (PORT_BASE, "listeners: {sni: {port: 9, domain: '.'}}",
         ("MEL0109", "spec.listeners.sni.domain")),
        (PORT_BASE, "listeners: {sni: {port: 9, domain: '*.b'}}",
         ("MEL0102", "spec.listeners.sni.domain")),
        (PORT_BASE, f"{PORT_BASE}\n      apiKeys: {{allow: []}}",
         ("MEL0102", "spec.apiKeys.allow")),
        (PORT_BASE, f"{PORT_BASE}\n      apiKeys: {{allow: [40000]}}",
         ("MEL0102", "spec.apiKeys.allow[0]")),
        (PORT_BASE, f"{PORT_BASE}\n      advertised: {{host: a.b}}",
         ("MEL0109", "spec.advertised.portBase")),
        (PORT_BASE, f"{PORT_BASE}\n      advertised: [{{id: 1, host: a.b, port: x}}]",
         ("MEL0102", "spec.advertised[0].port")),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_rejects_the_object(
    old: str, new: str, expected: tuple[str, str]
) -> None:
    assert old in CLUSTER
    assert expected in rejected(CLUSTER.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("host: 10.0.0.5", "host: kafka-5.example", ("MEL0203", "spec.brokers[1].host")),
        (PORT_BASE, f"{PORT_BASE}\n      advertised: [{{id: 7, host: a.b}}]",
         ("MEL0102", "spec.advertised[0]")),
        (PORT_BASE, f"{PORT_BASE}\n      advertised: [{{id: 1, host: a.b, prot: 1}}]",
         ("MEL0103", "spec.advertised[0].prot")),
        (PORT_BASE, f"{PORT_BASE}\n      advertised: {{host: a.b, portBase: 1, x: 1}}",
         ("MEL0103", "spec.advertised.x")),
    ],
)  # fmt: skip
def test_a_mistake_in_one_place_leaves_the_rest_in_force(
    old: str, new: str, expected: tuple[str, str]
) -> None:
    text = CLUSTER.replace(old, new)
    assert told(text) == [expected]
    assert len(services(text)) == 3


def test_a_broker_without_an_address_keeps_its_service() -> None:
    found = addresses(CLUSTER.replace("host: 10.0.0.5", "host: kafka-5.example"))
    assert found["broker-5.kafka.example"] == []
    assert found["kafka.example"] == ["10.0.0.1 {9092: 9192}"]
