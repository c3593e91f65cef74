"""Thrift: what a RouteMatch says, and what it must not leave to Envoy's assumptions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from envoy_data_plane.envoy.extensions.filters.network.thrift_proxy.v3 import (
    RouteConfiguration,
    RouteMatch,
)

from meltemi.protocols.headers import header_matcher
from meltemi.protocols.model import Matcher, MatchKind, Mirror
from meltemi.protocols.thrift import NEVER, THRIFT_PROXY, route_match
from tests import make


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({}, RouteMatch(method_name="")),
        ({"method": Matcher(MatchKind.PRESENT)}, RouteMatch(method_name="")),
        ({"method": make.exact("a")}, RouteMatch(method_name="a")),
        (
            {"method": Matcher(MatchKind.EXACT, "a", inverted=True)},
            RouteMatch(method_name="a", invert=True),
        ),
        ({"service": make.exact("S")}, RouteMatch(service_name="S")),
        (
            {"service": Matcher(MatchKind.EXACT, "S", inverted=True)},
            RouteMatch(service_name="S", invert=True),
        ),
    ],
)
def test_a_match_names_a_method_or_a_service(
    match: dict[str, Matcher], expected: RouteMatch
) -> None:
    assert route_match(match) == expected


def test_headers_come_beside_the_method() -> None:
    found = route_match({"user": make.exact("bob"), "method": make.exact("a")})
    assert (found.method_name, [header.name for header in found.headers]) == ("a", ["user"])


def test_no_method_at_all_is_said_by_headers_that_exclude_each_other() -> None:
    found = route_match({"method": Matcher(MatchKind.PRESENT, inverted=True)})
    assert found == RouteMatch(method_name="", headers=[*NEVER])


@pytest.mark.parametrize("kind", [kind for kind in MatchKind if kind is not MatchKind.PRESENT])
def test_an_inverted_test_holds_for_an_absent_header(kind: MatchKind) -> None:
    plain = header_matcher("user", Matcher(kind, "b", 1, 2))
    found = header_matcher("user", Matcher(kind, "b", 1, 2, inverted=True))
    assert not plain.treat_missing_header_as_empty
    assert found == replace(plain, invert_match=True, treat_missing_header_as_empty=True)


def test_a_mirrors_percentage_has_a_runtime_key_for_envoy_ignores_it_otherwise() -> None:
    route = replace(make.route(0, make.to("v1")), mirrors=(Mirror(make.to("v2"), 12.5),))
    mesh = make.mesh(make.service(protocol="thrift"), make.policy(), make.rule(route))
    (resource,) = make.snapshot(mesh).of_type(THRIFT_PROXY.route_type).values()
    action = RouteConfiguration.parse(resource.body).routes[0].route
    assert action is not None
    (policy,) = action.request_mirror_policies
    assert policy.runtime_fraction is not None
    assert policy.runtime_fraction.default_value is not None
    assert policy.runtime_fraction.default_value.numerator == 125_000
    assert policy.runtime_fraction.runtime_key
    assert policy.cluster in {key.name for key in resource.references}
