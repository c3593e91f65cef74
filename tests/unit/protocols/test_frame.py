"""What stands around a plugin: its engine, its scope, clusters, listeners, secrets, origins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterLbPolicy
from envoy_data_plane.envoy.config.listener.v3 import Listener

from meltemi.protocols.choice import choose_engine
from meltemi.protocols.dubbo import GENERIC_PROXY
from meltemi.protocols.model import (
    LoadBalancer,
    PlainCredentials,
    RedisSettings,
    RedisUpstream,
    Ref,
    Secret,
    SecretRef,
    TrafficPolicy,
)
from meltemi.protocols.registry import Registered, Registry
from meltemi.protocols.tcp import TCP_PROXY
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Key
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.api import Credentials, Scope
    from meltemi.protocols.model import Mesh
    from meltemi.protocols.problem import Problem
    from meltemi.xds.snapshot import Snapshot

OWN = Key(CLUSTER, make.OWN)
HOST = make.host()


def cluster(snapshot: Snapshot, name: str = make.OWN) -> Cluster:
    resource = snapshot.get(Key(CLUSTER, name))
    assert resource is not None
    return Cluster.parse(resource.body)


def filters(snapshot: Snapshot) -> list[str]:
    """The names of the filters of all listeners."""
    return [
        each.name
        for resource in snapshot.of_type(LISTENER).values()
        for chain in Listener.parse(resource.body).filter_chains
        for each in chain.filters
    ]


def by_code(problems: tuple[Problem, ...], code: str) -> Problem:
    (found,) = (problem for problem in problems if problem.code == code)
    return found


# -- engines --------------------------------------------------------------------------------------


def test_the_first_engine_that_the_proxy_has_serves() -> None:
    registered = make.registry().get("dubbo")
    assert choose_engine(registered, make.capability()) is GENERIC_PROXY
    assert choose_engine(registered, make.capability("DubboCodecConfig")) is None


def test_an_engine_newer_than_the_proxy_does_not_serve() -> None:
    modern = make.FakePlugin(engines=(replace(TCP_PROXY, since=(1, 41)),))
    registered = Registered(modern, "here", "1")
    assert choose_engine(registered, make.capability()) is None
    assert choose_engine(registered, make.capability(version=(1, 41))) is not None


def test_a_proxy_without_the_filter_gets_tcp_and_the_port_is_told() -> None:
    mesh = make.mesh(make.service(), make.rule(make.route(0, make.to(), method=make.exact("a"))))
    group = make.group(proxy=make.capability("GenericProxy", version=(1, 39)))
    assert filters(make.snapshot(mesh, group)) == ["envoy.filters.network.tcp_proxy"]
    found = make.problems(mesh, group)
    assert [problem.code for problem in found] == ["MEL0306", "MEL0315", "MEL0501"]
    about = by_code(found, "MEL0501")
    assert about.about == make.service().ports[0].ref
    assert "an Envoy 1.39" in about.cause
    assert "generic_proxy" in about.cause


def test_a_protocol_without_a_plugin_gets_tcp_and_the_port_is_told() -> None:
    mesh = make.mesh(make.service(protocol="gopher"))
    assert filters(make.snapshot(mesh)) == ["envoy.filters.network.tcp_proxy"]
    assert "use one of: dubbo, kafka, redis" in by_code(make.problems(mesh), "MEL0202").next_step


def test_without_any_plugin_nothing_can_be_served() -> None:
    compiler = make.compiler(make.mesh(make.service()), plugins=Registry([]))
    (trace,) = compiler.failures.values()
    assert "no plugin serves tcp" in trace


# -- clusters -------------------------------------------------------------------------------------


def test_each_subset_has_a_cluster_before_a_route_names_it() -> None:
    snapshot = make.snapshot(make.mesh(make.service(), make.policy()))
    names = {make.OWN, *(f"outbound|{make.PORT}|{version}|{HOST}" for version in make.VERSIONS)}
    assert snapshot.of_type(CLUSTER).keys() == names
    assert snapshot.of_type(ENDPOINT).keys() == names


def test_a_checked_cluster_says_how_long_it_may_warm() -> None:
    resource = make.snapshot(make.mesh(make.service())).get(OWN)
    assert resource is not None
    (check,) = Cluster.parse(resource.body).health_checks
    assert check.timeout is not None
    assert check.timeout.total_seconds() == resource.warming > 0


def test_a_split_is_checked_even_where_the_protocol_asks_for_no_check() -> None:
    route = replace(make.route(0, make.to("v1", 80), make.to("v2", 20)), name="r")
    snapshot = make.snapshot(
        make.mesh(make.service(protocol="tcp"), make.policy(), make.rule(route))
    )
    assert not cluster(snapshot).health_checks
    assert cluster(snapshot, f"split|{make.PORT}|default/shop/r|{HOST}").health_checks


def test_a_redisdestinations_settings_come_before_a_destinationrules() -> None:
    rules = make.policy(settings=TrafficPolicy(max_connections=5, connect_timeout=5.0))
    upstream = RedisUpstream(
        Ref("RedisDestination", "default", "d"), HOST, policy=TrafficPolicy(max_connections=9)
    )
    made = cluster(make.snapshot(make.mesh(make.service(protocol="redis"), rules, upstream)))
    assert made.circuit_breakers is not None
    assert [each.max_connections for each in made.circuit_breakers.thresholds] == [9]
    assert made.connect_timeout is not None
    assert made.connect_timeout.total_seconds() == 5.0


def test_redis_keeps_its_keys_where_they_are_unless_a_destinationrule_says_otherwise() -> None:
    service = make.service(protocol="redis")
    rules = make.policy(settings=TrafficPolicy(load_balancer=LoadBalancer.RANDOM))
    assert cluster(make.snapshot(make.mesh(service))).lb_policy is ClusterLbPolicy.MAGLEV
    assert cluster(make.snapshot(make.mesh(service, rules))).lb_policy is ClusterLbPolicy.RANDOM


def test_tls_that_cannot_be_honoured_leaves_no_endpoints() -> None:
    secure = make.policy(settings=TrafficPolicy(tls="MUTUAL"))
    at = [make.endpoint(1, "v1")]
    with_tls = make.mesh(make.service(), secure, endpoints=at)
    without = make.mesh(make.service(), secure)
    for name in (make.OWN, f"outbound|{make.PORT}|v1|{HOST}"):
        key = Key(ENDPOINT, name)
        assert make.snapshot(with_tls).get(key) == make.snapshot(without).get(key)
    told = [problem for problem in make.problems(with_tls) if problem.code == "MEL0402"]
    assert {problem.about.field for problem in told} == {"", "spec.subsets[0]", "spec.subsets[1]"}


def test_a_subset_without_endpoints_is_told() -> None:
    mesh = make.mesh(make.service(), make.policy(), endpoints=[make.endpoint(1, "v1")])
    problem = by_code(make.problems(mesh), "MEL0401")
    assert problem.about.field == "spec.subsets[1]"
    assert "version=v2" in problem.cause


# -- secrets --------------------------------------------------------------------------------------

AUTH = SecretRef("default", "redis", Ref("RedisService", "default", "r", field="spec.auth"))
SETTINGS = RedisSettings(Ref("RedisService", "default", "r"), (HOST,), AUTH)
SECRET = Ref("Secret", "default", "redis")


def scope(mesh: Mesh) -> Scope:
    plugin = make.FakePlugin("redis")
    make.compiler(mesh, plugins=make.plugins(plugin))
    return plugin.scopes[0]


def auth(*things: make.Thing) -> Credentials | None:
    return scope(make.mesh(make.service(protocol="redis"), *things)).auth


def test_a_secret_is_resolved_for_the_plugin() -> None:
    found = auth(SETTINGS, Secret(SECRET, {"username": "bob", "password": "hunter2"}))
    assert found is not None
    assert (found.username, found.password, found.missing) == ("bob", "hunter2", False)
    assert "hunter2" not in repr(found)


def test_a_secrets_keys_may_have_other_names() -> None:
    wanted = replace(AUTH, password_key="token", username_key="user")
    found = auth(replace(SETTINGS, auth=wanted), Secret(SECRET, {"token": "a", "user": "b"}))
    assert found is not None
    assert (found.password, found.username) == ("a", "b")


@pytest.mark.parametrize(
    "things",
    [(), (Secret(SECRET, {"other": "a"}),), (Secret(SECRET, {"password": ""}),)],
    ids=["no secret", "no key", "an empty password"],
)
def test_a_missing_secret_is_missing_and_told(things: tuple[make.Thing, ...]) -> None:
    found = auth(SETTINGS, *things)
    assert found is not None
    assert found.missing
    problem = by_code(
        make.problems(make.mesh(make.service(protocol="redis"), SETTINGS, *things)), "MEL0403"
    )
    assert problem.about == AUTH.ref


def test_plain_credentials_are_taken_as_they_are() -> None:
    plain = PlainCredentials(AUTH.ref, "hunter2", "bob")
    found = auth(replace(SETTINGS, auth=plain))
    assert found is not None
    assert (found.username, found.password) == ("bob", "hunter2")


def test_without_settings_nobody_must_authenticate() -> None:
    assert auth() is None


# -- provenance -----------------------------------------------------------------------------------


def test_every_resource_knows_its_objects_and_its_unit() -> None:
    route = replace(make.route(0, make.to("v1", 80), make.to("v2", 20)), name="r")
    mesh = make.mesh(make.service(), make.policy(), make.rule(route))
    found = make.resources(make.snapshot(mesh, make.group(rtds=False)))
    port, split = make.service().ports[0].ref, f"split|{make.PORT}|default/shop/r|{HOST}"
    subset = make.policy().subsets[0].ref
    assert found[OWN].origins == (port, make.policy().ref)
    assert found[Key(ENDPOINT, f"outbound|{make.PORT}|v1|{HOST}")].origins == (port, subset)
    assert found[Key(ENDPOINT, split)].origins == (route.ref.at("spec.routes[0].route"),)
    (table,) = (resource for key, resource in found.items() if "RouteConf" in key.type_url)
    assert table.origins == (port, route.ref)
    assert table.references == {Key(CLUSTER, split)}
    assert {resource.unit for resource in found.values()} == {(HOST, make.PORT)}


def test_a_listener_names_its_route_table() -> None:
    snapshot = make.snapshot(make.mesh(make.service()))
    (listener,) = snapshot.of_type(LISTENER).values()
    assert [key.name for key in listener.references] == [f"{HOST}_{make.PORT}"]
