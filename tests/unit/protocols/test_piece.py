"""Which endpoints a destination has, and how its assignment is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meltemi.protocols._pb import endpoint_pb2
from meltemi.protocols.model import Endpoint, Locality, Mesh
from meltemi.protocols.piece import endpoints_of
from meltemi.protocols.routing import Part
from meltemi.xds.resource import ENDPOINT
from tests import make

PART = Part(make.OWN, ("default", make.host()), make.PORT, {"version": "v1"})
ENDPOINTS = (
    make.endpoint(1, "v1"),
    make.endpoint(2, "v2"),
    replace(make.endpoint(3, "v1"), ready=False),
    make.endpoint(4, "v1", port=1),
)
MESH = make.mesh(make.service(), make.policy(), endpoints=ENDPOINTS)


@pytest.mark.parametrize(
    ("part", "numbers"),
    [
        (PART, [1]),
        (replace(PART, labels={}), [1, 2]),
        (replace(PART, labels={"version": "v1", "zone": "a"}), []),
        (replace(PART, port=1), [4]),
        (replace(PART, blocked=True), []),
        (replace(PART, service=("other", make.host())), []),
    ],
)
def test_a_destinations_endpoints_are_ready_and_have_its_port_and_labels(
    part: Part, numbers: list[int]
) -> None:
    found = [endpoint.address for endpoint, _ in endpoints_of(MESH, part)]
    assert found == [f"10.0.0.{number}" for number in numbers]


def assignment(mesh: Mesh, cluster: str = make.OWN) -> endpoint_pb2.ClusterLoadAssignment:
    body = make.snapshot(mesh).of_type(ENDPOINT)[cluster].body
    return endpoint_pb2.ClusterLoadAssignment.FromString(body)


def test_a_clusters_endpoints_stand_in_their_localities() -> None:
    zones = [Locality(zone=zone) for zone in ("a", "b")]
    found: list[Endpoint] = [
        replace(make.endpoint(number), locality=zone, weight=number)
        for number, zone in enumerate(zones, 1)
    ]
    told = assignment(make.mesh(make.service(), endpoints=found))
    assert [group.locality.zone for group in told.endpoints] == ["a", "b"]
    assert [
        host.load_balancing_weight.value for group in told.endpoints for host in group.lb_endpoints
    ] == [1, 2]
    assert not told.HasField("policy")


def test_a_splits_localities_are_its_destinations_and_stay_exact_when_some_hosts_die() -> None:
    route = replace(make.route(0, make.to("v1", 80), make.to("v2", 20)), name="r")
    mesh = make.mesh(make.service(), make.policy(), make.rule(route), endpoints=ENDPOINTS)
    told = assignment(mesh, f"split|{make.PORT}|default/shop/r|{make.host()}")
    weights = {g.locality.sub_zone: g.load_balancing_weight.value for g in told.endpoints}
    v1, v2 = (f"outbound|{make.PORT}|{version}|{make.host()}" for version in make.VERSIONS)
    assert weights == {v1: 80, v2: 20}
    assert told.policy.overprovisioning_factor.value == 1_000_000
