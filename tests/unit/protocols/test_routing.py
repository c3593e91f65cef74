"""From what a rule says to what a plugin is given; each way in which a route is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.model import (
    LoadBalancer,
    Matcher,
    MatchKind,
    Mirror,
    OutlierDetection,
    Subset,
    TrafficPolicy,
)
from meltemi.protocols.routing import effective
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.compiler import Compiler
    from meltemi.protocols.model import Destination, DestinationPolicy, Route
    from meltemi.protocols.piece import Piece

SPLIT = f"split|{make.PORT}|default/shop/{{}}|{make.host()}"
V1, V2 = (f"outbound|{make.PORT}|{version}|{make.host()}" for version in make.VERSIONS)


def compiled(
    *routes: Route, protocol: str = "dubbo", policy: DestinationPolicy | None = None
) -> Piece:
    """The piece of the service ``shop`` with these routes."""
    mesh = make.mesh(
        make.service(protocol=protocol),
        make.service("cart", protocol),
        make.policy() if policy is None else policy,
        make.rule(*routes),
        endpoints=[make.endpoint(1, "v1"), make.endpoint(2, "v2")],
    )
    return piece(make.compiler(mesh))


def piece(compiler: Compiler) -> Piece:
    group = compiler.group(make.group())
    (key,) = group.hosts[make.host()]
    found = group.piece(key)
    assert found is not None
    return found


def clusters(piece: Piece) -> list[str]:
    """Where the routes lead, in order."""
    return [route.cluster for route in piece.resolution.routes]


def told(piece: Piece) -> list[str]:
    """The codes of its problems, in order."""
    return [problem.code for problem in piece.problems]


GET = {"method": make.exact("get")}


def test_without_a_rule_everything_goes_to_the_services_own_cluster() -> None:
    found = piece(make.compiler(make.mesh(make.service())))
    assert (clusters(found), told(found)) == ([make.OWN], [])


def test_a_rule_without_routes_changes_nothing_and_says_nothing() -> None:
    found = compiled()
    assert (clusters(found), told(found)) == ([make.OWN], [])


def test_one_destination_is_its_own_cluster_whatever_its_weight() -> None:
    found = compiled(make.route(0, make.to("v1", 30), **GET), make.route(1, make.to(name="cart")))
    assert clusters(found) == [V1, f"outbound|{make.PORT}||{make.host('cart')}"]


def test_several_destinations_are_behind_one_split_cluster() -> None:
    route = replace(make.route(0, make.to("v1", 80), make.to("v2", 20)), name="canary")
    found = compiled(route)
    assert clusters(found) == [SPLIT.format("canary")]
    (split,) = found.resolution.splits
    assert [(part.label, part.weight) for part in split.parts] == [(V1, 80), (V2, 20)]


def test_a_route_that_is_inserted_above_moves_no_unnamed_split() -> None:
    split = make.route(0, make.to("v1", 80), make.to("v2", 20))
    above = make.route(0, make.to("v1"), **GET)
    below = replace(split, ref=make.route(1).ref)
    assert clusters(compiled(above, below))[1] == clusters(compiled(split))[0]


def test_routes_of_one_name_have_splits_of_their_own() -> None:
    pair = make.to("v1", 80), make.to("v2", 20)
    routes = (make.route(0, *pair, **GET), make.route(1, *pair))
    found = compiled(*(replace(route, name="canary") for route in routes))
    assert len({*clusters(found)}) == 2


@pytest.mark.parametrize(
    ("destination", "code"),
    [
        (make.to(name="nowhere"), "MEL0301"),
        (make.to("v9"), "MEL0302"),
        (make.to("v1", name="cart"), "MEL0302"),
        (make.to(port=1), "MEL0303"),
    ],
)
def test_a_route_to_what_does_not_exist_is_left_out(destination: Destination, code: str) -> None:
    found = compiled(make.route(0, destination, **GET), make.route(1, make.to("v2")))
    assert (clusters(found), told(found)) == ([V2], [code])
    assert found.unserved.keys() == {make.route(0).ref}


def test_a_destination_that_is_not_visible_to_the_client_does_not_exist() -> None:
    hidden = make.service("cart", export_to=("other",))
    mesh = make.mesh(make.service(), hidden, make.rule(make.route(0, make.to(name="cart"))))
    assert told(piece(make.compiler(mesh))) == ["MEL0301", "MEL0315"]


def test_one_missing_destination_of_a_split_leaves_out_the_whole_route() -> None:
    found = compiled(make.route(0, make.to("v1", 80), make.to("v9", 20)))
    assert clusters(found) == [make.OWN]
    assert found.resolution.splits == ()


def test_a_route_without_destinations_is_left_out() -> None:
    assert told(compiled(make.route(0, **GET), make.route(1, make.to("v2")))) == ["MEL0109"]


@pytest.mark.parametrize(
    ("protocol", "match", "code"),
    [
        ("dubbo", {"method": make.regex("(")}, "MEL0305"),
        ("thrift", {"method": make.prefix("get")}, "MEL0306"),
        ("redis", {"method": make.exact("get")}, "MEL0311"),
    ],
)
def test_a_match_that_cannot_be_served_is_left_out_and_never_widened(
    protocol: str, match: dict[str, Matcher], code: str
) -> None:
    found = compiled(make.route(0, make.to("v1"), **match), protocol=protocol)
    assert (clusters(found), told(found)) == ([make.OWN], [code, "MEL0315"])


def test_without_a_catch_all_the_routes_that_are_left_stay_as_narrow_as_they_are() -> None:
    bad = make.route(1, make.to("v2"), method=make.regex("("))
    found = compiled(make.route(0, make.to("v1"), **GET), bad)
    assert [route.route.match for route in found.resolution.routes] == [GET]


def test_a_policy_that_the_engine_lacks_keeps_the_route() -> None:
    found = compiled(replace(make.route(0, make.to("v1")), timeout=1.0), protocol="thrift")
    assert (clusters(found), told(found)) == ([V1], ["MEL0307"])
    assert found.unserved == {}


def test_a_mirror_to_nowhere_keeps_the_route() -> None:
    mirrored = replace(make.route(0, make.to("v1")), mirrors=(Mirror(make.to("v9")),))
    found = compiled(mirrored, protocol="thrift")
    assert (clusters(found), told(found)) == ([V1], ["MEL0302"])
    assert found.unserved == {}


@pytest.mark.parametrize("above", [{}, GET])
def test_a_route_that_no_request_can_reach_is_left_out(above: dict[str, Matcher]) -> None:
    below = make.route(1, make.to("v2"), **GET)
    found = compiled(make.route(0, make.to("v1"), **above), below)
    assert (clusters(found), told(found)) == ([V1], ["MEL0310"])
    assert found.unserved.keys() == {below.ref}


def test_a_route_that_is_left_out_covers_nothing() -> None:
    found = compiled(make.route(0, make.to("v9")), make.route(1, make.to("v2"), **GET))
    assert (clusters(found), told(found)) == ([V2], ["MEL0302"])


@pytest.mark.parametrize(
    "settings",
    [
        TrafficPolicy(load_balancer=LoadBalancer.RANDOM),
        TrafficPolicy(outlier_detection=OutlierDetection(consecutive_errors=3)),
    ],
)
def test_destinations_that_want_different_clusters_cannot_be_split(settings: TrafficPolicy) -> None:
    policy = make.policy()
    first, second = policy.subsets
    differing = replace(policy, subsets=(replace(first, policy=settings), second))
    found = compiled(make.route(0, make.to("v1", 80), make.to("v2", 20)), policy=differing)
    assert (clusters(found), told(found)) == ([make.OWN], ["MEL0312", "MEL0315"])


def test_a_name_that_the_engine_folds_is_told_and_served() -> None:
    found = compiled(make.route(0, make.to("v1"), User=make.exact("bob")), protocol="thrift")
    assert (clusters(found), told(found)) == ([V1], ["MEL0313"])


def test_redis_is_not_split() -> None:
    found = compiled(make.route(0, make.to("v1", 80), make.to("v2", 20)), protocol="redis")
    assert (clusters(found), told(found)) == ([make.OWN], ["MEL0314", "MEL0315"])


def test_any_value_is_matched_by_presence() -> None:
    found = compiled(make.route(0, make.to("v1"), user=make.exact("")))
    assert found.resolution.routes[0].route.match == {"user": Matcher(MatchKind.PRESENT)}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, TrafficPolicy(max_connections=1, tls="SIMPLE")),
        (TrafficPolicy(), TrafficPolicy(max_connections=1, tls="SIMPLE")),
        (TrafficPolicy(max_connections=2), TrafficPolicy(max_connections=2, tls="SIMPLE")),
    ],
)
def test_a_subset_overrides_field_by_field(
    own: TrafficPolicy | None, expected: TrafficPolicy
) -> None:
    made = make.policy(settings=TrafficPolicy(max_connections=1, tls="SIMPLE"))
    subset = Subset("v1", {}, made.ref, own)
    assert effective(replace(made, subsets=(subset,)), make.PORT, "v1") == expected


def test_a_ports_settings_replace_the_hosts() -> None:
    made = make.policy(settings=TrafficPolicy(max_connections=1, connect_timeout=2.0))
    with_port = replace(made, port_policies={make.PORT: TrafficPolicy(max_connections=5)})
    assert effective(with_port, make.PORT, "v1") == TrafficPolicy(max_connections=5)
    assert effective(with_port, 1, "") == made.policy
