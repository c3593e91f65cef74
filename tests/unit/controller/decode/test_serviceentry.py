"""ServiceEntries: hosts with endpoints of their own."""

from __future__ import annotations

import pytest

from meltemi.controller.store.objects import HostEndpoints, HostSelector, SelectedPort
from meltemi.protocols.model import Endpoint, Locality, Service
from tests.written import decoded, rejected, told, value


def entry(*lines: str, hosts: str = "[org.shop]", resolution: str = "STATIC") -> str:
    return (
        "apiVersion: networking.istio.io/v1beta1\nkind: ServiceEntry\n"
        "metadata: {name: shop, namespace: demo}\n"
        f"spec:\n  hosts: {hosts}\n  resolution: {resolution}\n"
        "  ports: [{number: 20880, name: tcp-dubbo, protocol: TCP, targetPort: 30880}]\n"
        + "".join(f"  {line}\n" for line in lines)
    )


def endpoints(written: str) -> tuple[Endpoint, ...]:
    return value(entry(f"endpoints: {written}"), HostEndpoints).endpoints


def test_every_host_is_a_service_with_the_same_endpoints() -> None:
    text = entry("endpoints: [{address: 10.0.0.1}]", hosts="[org.shop, org.cart, org.shop]")
    values = decoded(text).values
    assert [found.host for found in values if isinstance(found, Service)] == [
        "org.shop",
        "org.cart",
    ]
    lists = [found for found in values if isinstance(found, HostEndpoints)]
    assert [found.host for found in lists] == ["org.shop", "org.cart"]
    assert lists[0].endpoints == lists[1].endpoints


def test_a_short_host_is_not_expanded() -> None:
    assert value(entry(hosts="[shop]"), Service).host == "shop"


def test_an_endpoints_port_is_its_own_else_the_target_port() -> None:
    written = "[{address: 10.0.0.1}, {address: 10.0.0.2, ports: {tcp-dubbo: 7}}]"
    assert [found.ports for found in endpoints(written)] == [{20880: 30880}, {20880: 7}]


def test_a_port_of_an_endpoint_must_be_one() -> None:
    text = entry("endpoints: [{address: 10.0.0.1, ports: {a: 1, tcp-dubbo: 70000}}]")
    assert rejected(text) == [("MEL0102", "spec.endpoints[0].ports[tcp-dubbo]")]


def test_labels_locality_and_weight() -> None:
    written = "[{address: '::1', labels: {version: v1}, locality: eu/eu-1/rack, weight: 3}]"
    assert endpoints(written) == (
        Endpoint("::1", {20880: 30880}, {"version": "v1"}, Locality("eu", "eu-1", "rack"), 3),
    )


@pytest.mark.parametrize(
    ("written", "expected"), [("eu", Locality("eu")), ("eu/1", Locality("eu", "1"))]
)
def test_a_locality_may_be_short(written: str, expected: Locality) -> None:
    (found,) = endpoints(f"[{{address: 10.0.0.1, locality: {written}}}]")
    assert found.locality == expected


@pytest.mark.parametrize(
    "address", ["shop.example", "10.0.0.300", "''", "unix:///x", "fe80::1%eth0"]
)
def test_an_address_that_is_no_ip_costs_only_its_endpoint(address: str) -> None:
    text = entry(f"endpoints: [{{address: '{address.strip(chr(39))}'}}, {{address: 10.0.0.2}}]")
    assert told(text) == [("MEL0203", "spec.endpoints[0].address")]
    assert [found.address for found in value(text, HostEndpoints).endpoints] == ["10.0.0.2"]


def test_virtual_addresses_must_be_ips() -> None:
    text = entry("addresses: [240.0.0.1, 240.0.0.0/24]")
    assert told(text) == [("MEL0203", "spec.addresses")]
    assert value(text, Service).addresses == ("240.0.0.1",)


@pytest.mark.parametrize("resolution", ["NONE", "DYNAMIC_DNS"])
def test_another_resolution_is_reported_and_has_no_endpoints(resolution: str) -> None:
    text = entry("endpoints: [{address: shop.example}]", resolution=resolution)
    assert told(text) == [("MEL0110", "spec.resolution")]
    assert value(text, HostEndpoints).endpoints == ()


@pytest.mark.parametrize("resolution", ["DNS", "DNS_ROUND_ROBIN"])
def test_names_are_left_to_proxies_to_resolve(resolution: str) -> None:
    text = entry("endpoints: [{address: Db.example, ports: {tcp-dubbo: 7}}]", resolution=resolution)
    assert value(text, Service).discovery.value == resolution
    assert value(text, HostEndpoints).endpoints == (Endpoint("db.example", {20880: 7}),)


def test_without_endpoints_each_host_is_resolved_by_its_own_name() -> None:
    values = decoded(entry(hosts="[org.shop, org.cart]", resolution="DNS")).values
    lists = [found.endpoints for found in values if isinstance(found, HostEndpoints)]
    assert lists == [
        (Endpoint("org.shop", {20880: 30880}),),
        (Endpoint("org.cart", {20880: 30880}),),
    ]


def test_an_endpoint_to_resolve_is_an_ip_or_a_name() -> None:
    written = "endpoints: [{address: 10.0.0.1}, {address: 'unix:///x'}, {address: db.example}]"
    text = entry(written, resolution="DNS")
    assert told(text) == [("MEL0203", "spec.endpoints[1].address")]
    found = value(text, HostEndpoints).endpoints
    assert [each.address for each in found] == ["10.0.0.1", "db.example"]


def test_one_name_at_a_time_is_one_endpoint() -> None:
    written = "endpoints: [{address: a.example}, {address: b.example}]"
    text = entry(written, resolution="DNS_ROUND_ROBIN")
    assert rejected(text) == [("MEL0102", "spec.endpoints")]


@pytest.mark.parametrize(("resolution", "names"), [("STATIC", False), ("DNS", True)])
def test_a_selector_selects_by_labels_for_every_port(resolution: str, names: bool) -> None:
    text = entry("workloadSelector: {labels: {app: shop}}", resolution=resolution)
    assert value(text, HostSelector) == HostSelector(
        "demo", "org.shop", {"app": "shop"}, (SelectedPort(20880, "tcp-dubbo", 30880),), names
    )


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("{}", ("MEL0109", "spec.workloadSelector.labels")),
        (
            "{labels: {app: shop}}\n  endpoints: [{address: 10.0.0.1}]",
            ("MEL0102", "spec.workloadSelector"),
        ),
    ],
)
def test_a_selector_needs_labels_and_stands_alone(selector: str, expected: tuple[str, str]) -> None:
    assert rejected(entry(f"workloadSelector: {selector}")) == [expected]


def test_a_wildcard_host_is_left_out() -> None:
    text = entry(hosts="['*.shop', org.shop]")
    assert told(text) == [("MEL0110", "spec.hosts[0]")]
    assert value(text, Service).host == "org.shop"


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [("[]", ("MEL0109", "spec.hosts")), ("[a b]", ("MEL0102", "spec.hosts[0]"))],
)
def test_an_entry_needs_hosts_that_can_be_ones(hosts: str, expected: tuple[str, str]) -> None:
    assert rejected(entry(hosts=hosts)) == [expected]


def test_two_ports_of_one_number_reject_the_object() -> None:
    text = entry().replace("ports: [", "ports: [{number: 20880, name: tcp-x}, ")
    assert rejected(text) == [("MEL0102", "spec.ports[1]")]


def test_the_protocol_field_counts_when_the_name_says_nothing() -> None:
    text = entry().replace("name: tcp-dubbo, protocol: TCP", "name: main, protocol: REDIS")
    assert value(text, Service).ports[0].protocol == "redis"
