"""dubbo_proxy: used where it is allowed and nothing better is there, and what it can say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from envoy_data_plane.envoy.extensions.filters.network.dubbo_proxy.v3 import (
    MultipleRouteConfiguration,
    Route,
)

from meltemi.protocols.choice import choose_engine
from meltemi.protocols.compiler import Compiler
from meltemi.protocols.dubbo_proxy import DUBBO_PROXY, rejects
from meltemi.protocols.model import Matcher, MatchKind, Mesh, Service
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.group import GroupKey

POOR = make.group(proxy=make.capability("generic_proxy", "meta_protocol_proxy"))
ALLOWED = frozenset({DUBBO_PROXY.name})
SHOP = replace(make.service(), allows=ALLOWED)
ANY_METHOD = "(?s).*"


def engine(service: Service, key: GroupKey = POOR, allowed: frozenset[str] = frozenset()) -> str:
    mesh = make.mesh(service)
    compiler = Compiler(make.registry(), mesh, allowed=allowed)
    make.run(compiler.open(key))
    (piece,) = compiler.group(key).pieces()
    assert piece.engine is not None
    return piece.engine.name


def table(**match: Matcher) -> MultipleRouteConfiguration:
    mesh: Mesh = make.mesh(SHOP, make.policy(), make.rule(make.route(0, make.to("v1"), **match)))
    found = make.snapshot(mesh, POOR).of_type(DUBBO_PROXY.route_type)
    return MultipleRouteConfiguration.parse(found[f"{make.host()}_{make.PORT}"].body)


def only_route(**match: Matcher) -> Route:
    (configuration,) = table(**match).route_config
    (route,) = configuration.routes
    return route


def test_it_serves_only_where_the_service_or_a_setting_allows_it() -> None:
    assert engine(make.service()) == "tcp_proxy"
    assert engine(SHOP) == "dubbo_proxy"
    assert engine(make.service(), allowed=ALLOWED) == "dubbo_proxy"


def test_every_other_engine_of_dubbo_is_better() -> None:
    assert engine(SHOP, make.group()) == "generic_proxy"
    registered = make.registry().get("dubbo")
    proxy = make.capability("generic_proxy")
    for application, name in ((True, "meta_protocol_proxy"), (False, "dubbo_proxy")):
        found = choose_engine(registered, proxy, application=application, allowed=ALLOWED)
        assert found is not None
        assert found.name == name


def test_whoever_uses_it_is_told() -> None:
    (problem,) = make.problems(make.mesh(SHOP), POOR)
    assert (problem.code, problem.about) == ("MEL0506", SHOP.ports[0].ref)
    assert "generic_proxy" in problem.next_step
    assert make.problems(make.mesh(SHOP)) == ()


def test_a_proxy_whose_only_engine_is_not_allowed_is_not_told_to_use_it() -> None:
    (problem,) = make.problems(make.mesh(make.service()), POOR)
    assert problem.code == "MEL0501"
    assert "dubbo_proxy" not in problem.cause


@pytest.mark.parametrize(
    ("matcher", "interfaces"),
    [
        (make.exact("org.Shop"), ["org.Shop"]),
        (make.prefix("org."), ["org.", "org.*"]),
        (Matcher(MatchKind.SUFFIX, "Shop"), ["Shop", "*Shop"]),
        (Matcher(MatchKind.PRESENT), ["*"]),
    ],
)
def test_an_interface_is_a_name_or_its_begin_or_end(
    matcher: Matcher, interfaces: list[str]
) -> None:
    found = table(interface=matcher).route_config
    assert [configuration.interface for configuration in found] == interfaces


@pytest.mark.parametrize("match", [{}, {"method": Matcher(MatchKind.PRESENT)}])
def test_a_route_of_any_method_names_one_all_the_same(match: dict[str, Matcher]) -> None:
    route = only_route(**match)
    assert route.match is not None
    assert route.match.method is not None
    assert route.match.method.name is not None
    assert route.match.method.name.safe_regex is not None
    assert route.match.method.name.safe_regex.regex == ANY_METHOD


def test_a_version_has_its_own_place_and_all_else_are_headers() -> None:
    (configuration,) = table(
        version=make.exact("1.0"), group=make.exact("blue"), user=make.prefix("b")
    ).route_config
    assert configuration.version == "1.0"
    (route,) = configuration.routes
    assert route.match is not None
    assert [header.name for header in route.match.headers] == ["group", "user"]


@pytest.mark.parametrize(
    ("name", "matcher", "refused"),
    [
        ("interface", make.exact("a"), False),
        ("interface", make.exact("a*b"), True),
        ("interface", Matcher(MatchKind.EXACT, "a", inverted=True), True),
        ("method", Matcher(MatchKind.EXACT, "a", inverted=True), True),
        ("version", Matcher(MatchKind.EXACT, "a", inverted=True), True),
        ("group", Matcher(MatchKind.EXACT, "a", inverted=True), False),
        ("user", Matcher(MatchKind.REGEX, ".*", inverted=True), True),
    ],
)
def test_what_it_cannot_say_is_refused(name: str, matcher: Matcher, *, refused: bool) -> None:
    assert (rejects(name, matcher) is not None) is refused


def test_routes_keep_their_order() -> None:
    rule = make.rule(
        make.route(0, make.to("v2"), interface=make.exact("a")), make.route(1, make.to("v1"))
    )
    found = make.snapshot(make.mesh(SHOP, make.policy(), rule), POOR)
    body = found.of_type(DUBBO_PROXY.route_type)[f"{make.host()}_{make.PORT}"].body
    listed = MultipleRouteConfiguration.parse(body).route_config
    assert [configuration.interface for configuration in listed] == ["a", "*"]
