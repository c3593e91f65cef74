"""Redis Clusters, whose nodes the proxy finds itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterLbPolicy

from meltemi.protocols.model import (
    Discovery,
    Endpoint,
    Mesh,
    RedisSettings,
    RedisUpstream,
    Ref,
)
from meltemi.xds.resource import CLUSTER, ENDPOINT
from tests import make

CACHE = make.service(protocol="redis")
OTHER = make.service("other", "redis", port=make.PORT + 1)
LEADS = make.rule(make.route(0, make.to(name="other", port=make.PORT + 1)))
SHARDED = RedisUpstream(Ref("RedisDestination", "default", "shop"), make.host(), cluster=True)
REPLICA = RedisSettings(
    Ref("RedisService", "default", "shop"), (make.host(),), read_policy="PREFER_REPLICA"
)
POOR = make.group(proxy=make.capability("clusters.redis"))


def cluster(mesh: Mesh, name: str = make.OWN) -> Cluster:
    return Cluster.parse(make.snapshot(mesh).of_type(CLUSTER)[name].body)


def addresses(found: Cluster) -> list[tuple[str, int | None]]:
    assert found.load_assignment is not None
    return [
        (
            host.endpoint.address.socket_address.address,
            host.endpoint.address.socket_address.port_value,
        )
        for group in found.load_assignment.endpoints
        for host in group.lb_endpoints
        if host.endpoint and host.endpoint.address and host.endpoint.address.socket_address
    ]


def test_its_endpoints_are_where_the_proxy_begins() -> None:
    found = cluster(make.mesh(CACHE, SHARDED, endpoints=[make.endpoint()]))
    assert found.cluster_type is not None
    assert found.cluster_type.name == "envoy.clusters.redis"
    assert (found.type, found.eds_cluster_config) == (None, None)
    assert found.lb_policy is ClusterLbPolicy.CLUSTER_PROVIDED
    assert addresses(found) == [("10.0.0.1", 8000)]


def test_it_begins_where_it_is_told_to() -> None:
    seeded = replace(SHARDED, seeds=(("redis.example", 7000),))
    found = cluster(make.mesh(CACHE, seeded, endpoints=[make.endpoint()]))
    assert addresses(found) == [("redis.example", 7000)]


def test_single_servers_are_assigned_as_ever() -> None:
    mesh = make.mesh(CACHE, replace(SHARDED, cluster=False), endpoints=[make.endpoint()])
    assert cluster(mesh).cluster_type is None
    assert list(make.snapshot(mesh).of_type(ENDPOINT)) == [make.OWN]


def test_a_proxy_that_cannot_find_its_nodes_gets_none_rather_than_single_servers() -> None:
    mesh = make.mesh(CACHE, SHARDED, endpoints=[make.endpoint()])
    told = make.snapshot(mesh, POOR).of_type(ENDPOINT)[make.OWN].body
    assert b"10.0.0.1" not in told
    assert make.codes(mesh, POOR) == ["MEL0410"]
    assert make.codes(mesh) == []


@pytest.mark.parametrize(("upstream", "expected"), [(True, []), (False, ["MEL0411"])])
def test_who_is_a_replica_only_a_cluster_tells(upstream: bool, expected: list[str]) -> None:
    mesh = make.mesh(CACHE, replace(SHARDED, cluster=upstream), REPLICA)
    assert make.codes(mesh) == expected


def test_a_read_policy_counts_for_a_cluster_that_a_route_leads_to() -> None:
    sharded = replace(SHARDED, host=make.host("other"))
    assert make.codes(make.mesh(CACHE, OTHER, REPLICA, LEADS)) == ["MEL0411"]
    assert make.codes(make.mesh(CACHE, OTHER, REPLICA, LEADS, sharded)) == []


def test_what_a_route_leads_to_may_become_a_cluster() -> None:
    draft = make.Draft()
    for thing in (CACHE, OTHER, REPLICA, LEADS):
        draft.put(thing)
    compiler = make.compiler(draft.mesh)
    make.run(compiler.update(draft.put(replace(SHARDED, host=make.host("other")))))
    assert compiler.problems() == ()


def test_one_address_at_a_time_is_not_said_of_a_cluster() -> None:
    named = replace(CACHE, discovery=Discovery.DNS_ROUND_ROBIN)
    nodes = Endpoint("redis.example", {make.PORT: 6379})
    found = cluster(make.mesh(named, SHARDED, endpoints=[nodes]))
    assert found.type is None
    assert addresses(found) == [("redis.example", 6379)]
