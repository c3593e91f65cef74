"""Services whose endpoints are names: proxies resolve them, Meltemi never does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType

from meltemi.protocols.model import Discovery, Endpoint
from meltemi.xds.resource import CLUSTER, ENDPOINT, Key
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.model import Mesh

NAMED = replace(make.service(), discovery=Discovery.DNS)
ONE = replace(NAMED, discovery=Discovery.DNS_ROUND_ROBIN)
PLAIN = make.service("plain")
NAMES = tuple(
    Endpoint(f"{version}.example", {make.PORT: 8000}, {"version": version})
    for version in make.VERSIONS
)
STRICT, LOGICAL = ClusterDiscoveryType.STRICT_DNS, ClusterDiscoveryType.LOGICAL_DNS
SPLIT = f"split|{make.PORT}|default/shop/r|{make.host()}"


def clusters(mesh: Mesh) -> dict[str, Cluster]:
    found = make.snapshot(mesh).of_type(CLUSTER)
    return {name: Cluster.parse(resource.body) for name, resource in found.items()}


def addresses(cluster: Cluster) -> list[str]:
    assert cluster.load_assignment is not None
    return [
        host.endpoint.address.socket_address.address
        for group in cluster.load_assignment.endpoints
        for host in group.lb_endpoints
        if host.endpoint and host.endpoint.address and host.endpoint.address.socket_address
    ]


def test_names_stand_in_the_cluster_and_nothing_is_assigned() -> None:
    mesh = make.mesh(NAMED, make.policy(), endpoints=NAMES)
    found = clusters(mesh)
    assert {c.type for c in found.values()} == {STRICT}
    assert {name: addresses(c) for name, c in found.items()} == {
        make.OWN: ["v1.example", "v2.example"],
        make.OWN.replace("||", "|v1|"): ["v1.example"],
        make.OWN.replace("||", "|v2|"): ["v2.example"],
    }
    assert make.snapshot(mesh).of_type(ENDPOINT) == {}


@pytest.mark.parametrize(("names", "kind"), [(0, STRICT), (1, LOGICAL), (2, STRICT)])
def test_one_address_at_a_time_is_for_exactly_one_name(
    names: int, kind: ClusterDiscoveryType
) -> None:
    """Envoy refuses anything else."""
    found = clusters(make.mesh(ONE, endpoints=NAMES[:names]))
    assert found[make.OWN].type == kind
    assert len(addresses(found[make.OWN])) == names


def test_a_changed_name_changes_the_cluster_and_nothing_else() -> None:
    draft, key = make.Draft(), make.group()
    draft.put(NAMED)
    draft.place(NAMED, NAMES[0])
    compiler = make.compiler(draft.mesh, key)
    make.run(compiler.update(draft.place(NAMED, NAMES[1])))
    assert compiler.group(key).take_changed() == {Key(CLUSTER, make.OWN)}


def test_a_service_that_is_not_resolved_any_more_is_assigned_its_endpoints() -> None:
    draft, key = make.Draft(), make.group()
    draft.put(NAMED)
    compiler = make.compiler(draft.mesh, key)
    make.run(compiler.update(draft.put(make.service())))
    snapshot = compiler.group(key).snapshot
    assert Cluster.parse(snapshot.of_type(CLUSTER)[make.OWN].body).type == ClusterDiscoveryType.EDS
    assert list(snapshot.of_type(ENDPOINT)) == [make.OWN]


def test_names_and_addresses_share_a_split() -> None:
    route = make.route(0, make.to("", 90), make.to("", 10, name="plain"))
    draft = make.Draft()
    for thing in (NAMED, PLAIN, make.rule(replace(route, name="r"))):
        draft.put(thing)
    draft.place(NAMED, NAMES[0])
    draft.place(PLAIN, make.endpoint())
    split = clusters(draft.mesh)[SPLIT]
    assert (split.type, addresses(split)) == (STRICT, ["10.0.0.1", "v1.example"])
    assert split.load_assignment is not None
    weights = [group.load_balancing_weight for group in split.load_assignment.endpoints]
    assert weights == [10, 90]


def test_one_address_at_a_time_is_no_destination_of_several() -> None:
    alone = make.route(0, make.to("v1"), method=make.exact("a"))
    both = make.route(1, make.to("v1", 90), make.to("v2", 10))
    mesh = make.mesh(ONE, make.policy(), make.rule(alone, both), endpoints=NAMES)
    (problem,) = (p for p in make.problems(mesh) if p.code == "MEL0317")
    assert problem.about.field == "spec.routes[1]"
    assert problem.unserved
