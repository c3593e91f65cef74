"""Services, EndpointSlices, Pods, Nodes and Secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kubernetes.client import models

from meltemi.controller.decode import kubernetes
from meltemi.controller.decode.metadata import Metadata
from meltemi.controller.store.objects import HostEndpoints, Node, Pod, Slice, SliceEndpoint
from meltemi.protocols.model import Discovery, Endpoint, Locality, Secret, Service
from tests.written import decoded, rejected, told, value

if TYPE_CHECKING:
    from pydantic import BaseModel

    from meltemi.controller.decode.schema import Spec


def written(version: str, kind: str, body: str, metadata: str = "name: shop") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{{metadata}}}\n{body}\n"


def service(spec: str, annotations: str = "{}") -> str:
    metadata = f"name: shop, namespace: demo, annotations: {annotations}"
    return written("v1", "Service", f"spec: {{{spec}}}", metadata)


def slice_of(body: str, labels: str = "{kubernetes.io/service-name: shop}") -> str:
    metadata = f"name: shop-1, namespace: demo, labels: {labels}"
    return written("discovery.k8s.io/v1", "EndpointSlice", body, metadata)


def test_a_service_is_the_host_of_its_name() -> None:
    found = value(service("clusterIP: 10.0.0.1"), Service)
    assert (found.host, found.namespace) == ("shop.demo.svc.cluster.local", "demo")
    assert found.addresses == ("10.0.0.1",)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("clusterIP: None", ()),
        ("clusterIP: ''", ()),
        ("", ()),
        ("clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1, 'fd00::0:1']", ("10.0.0.1", "fd00::1")),
    ],
)
def test_virtual_addresses(spec: str, expected: tuple[str, ...]) -> None:
    assert value(service(spec), Service).addresses == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [("Orders.Example.com", "orders.example.com"), ("10.0.0.9", "10.0.0.9"), ("a.b.", "a.b.")],
)
def test_an_external_name_is_resolved_by_proxies(written: str, expected: str) -> None:
    ports = "ports: [{name: tcp-dubbo, port: 20880, targetPort: 1}]"
    text = service(f"type: ExternalName, externalName: {written}, {ports}")
    found, listed = value(text, Service), value(text, HostEndpoints)
    assert (found.addresses, found.discovery) == ((), Discovery.DNS)
    assert listed.host == found.host
    assert listed.endpoints == (Endpoint(expected, {20880: 20880}),)


def test_an_external_name_must_be_a_name() -> None:
    for name in ("''", "a..b", "'*.example'"):
        text = service(f"type: ExternalName, externalName: {name}")
        assert rejected(text) == [("MEL0102", "spec.externalName")]


def test_a_virtual_address_that_is_no_ip_is_left_out() -> None:
    text = service("clusterIP: shop")
    assert told(text) == [("MEL0203", "spec.clusterIP")]
    assert value(text, Service).addresses == ()


@pytest.mark.parametrize(
    ("annotation", "expected"), [("'a, .'", ("a", ".")), ("''", ("*",)), ("'~'", ("~",))]
)
def test_visibility_is_an_annotation(annotation: str, expected: tuple[str, ...]) -> None:
    text = service("", f"{{networking.istio.io/exportTo: {annotation}}}")
    assert value(text, Service).export_to == expected


def test_the_redis_protocol_version_is_an_annotation() -> None:
    assert value(service(""), Service).resp == 2
    assert value(service("", "{meltemi.io/resp: '3'}"), Service).resp == 3


def test_dubbo_proxy_is_allowed_by_name() -> None:
    assert value(service(""), Service).allows == frozenset()
    text = service("", "{meltemi.io/allow-dubbo-proxy: 'true'}")
    assert value(text, Service).allows == {"dubbo_proxy"}
    unclear = service("", "{meltemi.io/allow-dubbo-proxy: 'yes'}")
    assert told(unclear) == [("MEL0102", "metadata.annotations[meltemi.io/allow-dubbo-proxy]")]
    assert value(unclear, Service).allows == frozenset()


def test_an_unknown_redis_protocol_version_is_reported_and_resp2_is_served() -> None:
    text = service("", "{meltemi.io/resp: '4'}")
    assert told(text) == [("MEL0102", "metadata.annotations[meltemi.io/resp]")]
    assert value(text, Service).resp == 2


@pytest.mark.parametrize("number", ["0", "65536", "http"])
def test_a_port_number_must_be_one(number: str) -> None:
    assert rejected(service(f"ports: [{{port: {number}}}]")) == [("MEL0102", "spec.ports[0].port")]


def test_a_slice_has_addresses_named_ports_and_pods() -> None:
    body = """\
ports: [{name: tcp-dubbo, port: 30880}, {port: 9}, {name: all}]
endpoints:
- {addresses: [10.0.0.1], nodeName: n1, zone: eu-1, targetRef: {kind: Pod, name: p}}
- {addresses: [10.0.0.2], conditions: {ready: false}, targetRef: {kind: Node, name: n}}
- {addresses: [10.0.0.3], conditions: {ready: null}}
"""
    assert value(slice_of(body), Slice) == Slice(
        namespace="demo",
        service="shop",
        ports={"tcp-dubbo": 30880, "": 9},
        endpoints=(
            SliceEndpoint("10.0.0.1", pod=("demo", "p"), node="n1", zone="eu-1"),
            SliceEndpoint("10.0.0.2", ready=False),
            SliceEndpoint("10.0.0.3"),
        ),
    )


def test_an_address_of_a_slice_that_is_no_ip_is_left_out() -> None:
    text = slice_of("endpoints: [{addresses: [a.b, 10.0.0.1]}]")
    assert told(text) == [("MEL0203", "endpoints[0].addresses")]
    assert [found.address for found in value(text, Slice).endpoints] == ["10.0.0.1"]


def test_a_slice_must_say_whose_it_is() -> None:
    assert rejected(slice_of("endpoints: []", "{}")) == [
        ("MEL0109", "metadata.labels[kubernetes.io/service-name]")
    ]


def test_a_pod_gives_labels_and_addresses() -> None:
    status = "status: {podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}], hostIP: 1.2.3.4}"
    body = f"spec: {{nodeName: n1, containers: []}}\n{status}"
    text = written("v1", "Pod", body, "name: p, labels: {version: v1}")
    addresses = ("10.0.0.1", "fd00::1")
    assert value(text, Pod) == Pod("default", "p", addresses, {"version": "v1"}, node="n1")


def test_a_pod_that_has_ended_has_no_address() -> None:
    text = written("v1", "Pod", "status: {podIP: 10.0.0.1, phase: Succeeded}")
    assert value(text, Pod).addresses == ()


def test_a_node_says_by_its_labels_where_it_is() -> None:
    labels = {
        "topology.kubernetes.io/region": "eu",
        "topology.kubernetes.io/zone": "eu-1",
        "topology.istio.io/subzone": "rack-7",
        "kubernetes.io/hostname": "n1",
    }
    text = written("v1", "Node", "spec: {podCIDR: 10.0.0.0/24}", f"name: n1, labels: {labels}")
    assert value(text, Node) == Node("n1", Locality("eu", "eu-1", "rack-7"))
    assert told(text) == []
    assert value(written("v1", "Node", "", "name: n1"), Node) == Node("n1", Locality())


def test_a_heartbeat_of_a_node_is_no_change() -> None:
    quiet = written("v1", "Node", "status: {conditions: []}", "name: n1, resourceVersion: '1'")
    beat = "spec: {unschedulable: true}\nstatus: {conditions: [{lastHeartbeatTime: now}]}"
    metadata = "name: n1, resourceVersion: '2', annotations: {a: b}"
    assert decoded(written("v1", "Node", beat, metadata)) == decoded(quiet)
    relabelled = f"{metadata}, labels: {{topology.kubernetes.io/region: eu}}"
    assert decoded(written("v1", "Node", beat, relabelled)) != decoded(quiet)


def test_a_secret_is_text_trimmed_as_aeraki_trims_it() -> None:
    body = 'data: {password: aHVzaAo=, key: /w==}\nstringData: {username: " u\\n"}'
    found = value(written("v1", "Secret", body), Secret)
    assert found.data == {"password": "hush", "username": "u"}
    assert "hush" not in repr(decoded(written("v1", "Secret", body)))


def test_a_secret_that_is_not_base64_is_rejected_without_showing_it() -> None:
    text = written("v1", "Secret", "data: {password: 'hush!'}")
    assert rejected(text) == [("MEL0102", "data[password]")]


@pytest.mark.parametrize(
    ("ours", "official"),
    [
        (Metadata, models.V1ObjectMeta),
        (kubernetes.ServiceObject, models.V1Service),
        (kubernetes.ServiceSpec, models.V1ServiceSpec),
        (kubernetes.ServicePort, models.V1ServicePort),
        (kubernetes.SliceObject, models.V1EndpointSlice),
        (kubernetes.SliceAddress, models.V1Endpoint),
        (kubernetes.EndpointConditions, models.V1EndpointConditions),
        (kubernetes.SlicePort, models.DiscoveryV1EndpointPort),
        (kubernetes.TargetRef, models.V1ObjectReference),
        (kubernetes.PodObject, models.V1Pod),
        (kubernetes.PodAddress, models.V1PodIP),
        (kubernetes.NodeObject, models.V1Node),
        (kubernetes.SecretObject, models.V1Secret),
    ],
)
def test_no_field_of_kubernetes_is_called_unknown(
    ours: type[Spec], official: type[BaseModel]
) -> None:
    known = {*ours.__struct_encode_fields__, *ours.IGNORED, *ours.UNSUPPORTED}
    fields = {field.serialization_alias or name for name, field in official.model_fields.items()}
    assert fields <= known
