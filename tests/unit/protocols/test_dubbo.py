"""Dubbo: the matcher tree keeps the order of the routes and says what Envoy would not assume."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.action.v3 import RouteAction
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.matcher.v3 import (
    MethodMatchInput,
    PropertyMatchInput,
    ServiceMatchInput,
)

from meltemi.protocols.api import ResolvedRoute
from meltemi.protocols.dubbo import conjunction, match_input, matcher_tree, predicate
from meltemi.protocols.model import Matcher, MatchKind
from tests import make

if TYPE_CHECKING:
    from envoy_data_plane.xds.type.matcher.v3 import MatcherOnMatch

    from meltemi.protocols.model import Route


def resolved(route: Route, cluster: str = "c") -> ResolvedRoute:
    return ResolvedRoute(route, cluster)


def action(on_match: MatcherOnMatch | None) -> RouteAction:
    assert on_match is not None
    assert on_match.action is not None
    assert on_match.action.typed_config is not None
    return RouteAction.parse(on_match.action.typed_config.value)


def test_routes_keep_their_order_and_the_catch_all_is_what_remains() -> None:
    first = resolved(make.route(0, method=make.exact("a")), "a")
    second = resolved(make.route(1, method=make.prefix("a")), "b")
    tree = matcher_tree((first, second, resolved(make.route(2), "rest")))
    assert tree.matcher_list is not None
    listed = [action(entry.on_match).cluster for entry in tree.matcher_list.matchers]
    assert (listed, action(tree.on_no_match).cluster) == (["a", "b"], "rest")


def test_a_catch_all_alone_needs_no_list() -> None:
    tree = matcher_tree((resolved(make.route(0)),))
    assert tree.matcher_list is None
    assert tree.on_no_match is not None


def test_without_a_catch_all_nothing_remains() -> None:
    tree = matcher_tree((resolved(make.route(0, method=make.exact("a"))),))
    assert tree.on_no_match is None


@pytest.mark.parametrize(("timeout", "expected"), [(None, 0.0), (0.0, 0.0), (1.5, 1.5)])
def test_no_timeout_is_written_as_zero_for_unset_would_be_fifteen_seconds(
    timeout: float | None, expected: float
) -> None:
    route = replace(make.route(0), timeout=timeout)
    found = action(matcher_tree((resolved(route),)).on_no_match).timeout
    assert found is not None
    assert found.total_seconds() == expected


def test_retries_are_counted_as_tries() -> None:
    route = replace(make.route(0), attempts=2)
    found = action(matcher_tree((resolved(route),)).on_no_match).retry_policy
    assert found is not None
    assert found.num_retries == 3
    assert action(matcher_tree((resolved(make.route(0)),)).on_no_match).retry_policy is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("interface", ServiceMatchInput()),
        ("method", MethodMatchInput()),
        ("group", PropertyMatchInput(property_name="group")),
        ("User", PropertyMatchInput(property_name="User")),
    ],
)
def test_each_attribute_has_its_input(
    name: str, expected: ServiceMatchInput | MethodMatchInput | PropertyMatchInput
) -> None:
    config = match_input(name).typed_config
    assert config is not None
    assert config.unpack() == expected


def test_all_attributes_of_a_match_must_hold() -> None:
    found = conjunction({"b": make.exact("1"), "a": make.exact("2")}).and_matcher
    assert found is not None
    names = [
        each.single_predicate.input.name
        for each in found.predicate
        if each.single_predicate is not None and each.single_predicate.input is not None
    ]
    assert names == ["a", "b"]


def test_an_inverted_test_is_a_negation() -> None:
    matcher = Matcher(MatchKind.EXACT, "bob", inverted=True)
    assert predicate("user", matcher).not_matcher == predicate("user", make.exact("bob"))


@pytest.mark.parametrize("kind", [MatchKind.PRESENT, MatchKind.REGEX])
def test_an_empty_version_is_none(kind: MatchKind) -> None:
    found = predicate("version", Matcher(kind, ".*"))
    assert found.and_matcher is not None
    assert predicate("group", Matcher(kind, ".*")).and_matcher is None
