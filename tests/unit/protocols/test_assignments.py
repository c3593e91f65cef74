"""Assignments, read back with envoy-data-plane's full messages."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.core.v3 import HealthStatus, SocketAddress
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.service.runtime.v3 import Runtime
from envoy_data_plane.google.protobuf import Struct
from hypothesis import given
from hypothesis import strategies as st

from meltemi.protocols.assignments import (
    Host,
    LocalityEndpoints,
    empty_assignment,
    empty_layer,
    encode_assignment,
)
from meltemi.protocols.model import Locality

HERE = Locality()


def localities(body: bytes) -> list[LocalityLbEndpoints]:
    return ClusterLoadAssignment.parse(body).endpoints


def lb_endpoints(*hosts: Host) -> list[LbEndpoint]:
    (locality,) = localities(encode_assignment("c", [LocalityEndpoints(HERE, None, hosts)]))
    return locality.lb_endpoints


def socket_address(endpoint: LbEndpoint) -> SocketAddress:
    assert endpoint.endpoint is not None
    assert endpoint.endpoint.address is not None
    assert endpoint.endpoint.address.socket_address is not None
    return endpoint.endpoint.address.socket_address


def test_more_addresses_of_an_endpoint_follow_its_own() -> None:
    (found,) = lb_endpoints(Host("fd00::1", 80, also=("10.0.0.1",)))
    assert found.endpoint is not None
    (more,) = found.endpoint.additional_addresses
    assert more.address is not None
    assert more.address.socket_address == SocketAddress(address="10.0.0.1", port_value=80)


def addresses(*hosts: Host) -> list[tuple[str, int | None]]:
    found = map(socket_address, lb_endpoints(*hosts))
    return [(address.address, address.port_value) for address in found]


def weights(*numbers: int) -> list[int | None]:
    hosts = [Host(f"10.0.0.{n}", 80, weight) for n, weight in enumerate(numbers)]
    return [endpoint.load_balancing_weight for endpoint in lb_endpoints(*hosts)]


def test_an_assignment_holds_cluster_policy_localities_and_hosts() -> None:
    there = Locality("eu", "eu-1", "rack")
    group = LocalityEndpoints(there, 30, [Host("fd00::1", 20880, weight=5)])

    body = encode_assignment("cart", [group], overprovisioning_factor=1_000_000)

    assignment = ClusterLoadAssignment.parse(body)
    (locality,) = assignment.endpoints
    (endpoint,) = locality.lb_endpoints
    assert assignment.cluster_name == "cart"
    assert assignment.policy is not None
    assert assignment.policy.overprovisioning_factor == 1_000_000
    assert locality.locality is not None
    assert (locality.locality.region, locality.locality.zone) == ("eu", "eu-1")
    assert locality.locality.sub_zone == "rack"
    assert locality.load_balancing_weight == 30
    assert socket_address(endpoint) == SocketAddress(address="fd00::1", port_value=20880)
    assert endpoint.load_balancing_weight == 5
    assert endpoint.health_status is HealthStatus.UNKNOWN


def test_a_locality_without_a_weight_states_none() -> None:
    (locality,) = localities(
        encode_assignment("c", [LocalityEndpoints(HERE, None, [Host("10.0.0.1", 80)])])
    )

    assert locality.load_balancing_weight is None
    assert locality.locality is None


def test_a_locality_of_weight_zero_is_left_out() -> None:
    groups = [
        LocalityEndpoints(Locality(sub_zone="off"), 0, [Host("10.0.0.1", 80)]),
        LocalityEndpoints(Locality(sub_zone="on"), 100, [Host("10.0.0.2", 80)]),
    ]

    (locality,) = localities(encode_assignment("c", groups))

    assert locality.locality is not None
    assert locality.locality.sub_zone == "on"


def test_a_host_that_is_not_ready_is_unhealthy() -> None:
    (endpoint,) = lb_endpoints(Host("10.0.0.1", 80, ready=False))

    assert endpoint.health_status is HealthStatus.UNHEALTHY


def test_of_two_hosts_on_one_address_and_port_the_heavier_stays() -> None:
    light, heavy = Host("10.0.0.1", 80, weight=1), Host("10.0.0.1", 80, weight=7)

    (endpoint,) = lb_endpoints(heavy, light)

    assert endpoint.load_balancing_weight == 7


def test_one_address_with_two_ports_is_two_hosts() -> None:
    assert addresses(Host("10.0.0.1", 81), Host("10.0.0.1", 80)) == [
        ("10.0.0.1", 80),
        ("10.0.0.1", 81),
    ]


@pytest.mark.parametrize("weight", [0, -5])
def test_a_weight_below_one_becomes_one(weight: int) -> None:
    assert weights(weight) == [1]


def test_weights_never_sum_to_more_than_envoy_accepts() -> None:
    assert weights(2**32, 2**31, 3) == [(2**32 - 1) // 3, (2**32 - 1) // 3, 3]


hosts = st.builds(
    Host,
    st.ip_addresses().map(str),
    st.integers(1, 65535),
    st.integers(1, 100),
    st.booleans(),
)


@given(groups=st.dictionaries(st.text(max_size=3), st.lists(hosts)), data=st.data())
def test_order_has_no_effect(groups: dict[str, list[Host]], data: st.DataObject) -> None:
    def group(name: str, members: list[Host]) -> LocalityEndpoints:
        return LocalityEndpoints(Locality(sub_zone=name), 1, members)

    one = [group(name, members) for name, members in groups.items()]
    other = [
        group(name, data.draw(st.permutations(groups[name])))
        for name in data.draw(st.permutations(list(groups)))
    ]

    assert encode_assignment("c", one) == encode_assignment("c", other)


def test_an_empty_assignment_names_its_cluster_only() -> None:
    assert ClusterLoadAssignment.parse(empty_assignment("cart")) == ClusterLoadAssignment(
        cluster_name="cart"
    )


def test_an_empty_layer_is_present_and_sets_nothing() -> None:
    assert Runtime.parse(empty_layer("meltemi")) == Runtime(name="meltemi", layer=Struct())
