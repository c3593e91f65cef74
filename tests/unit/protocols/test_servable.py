"""A route is served as it is written, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.dubbo import GENERIC_PROXY, Dubbo
from meltemi.protocols.model import Matcher, MatchKind, Mirror, Mutation, Route
from meltemi.protocols.redis import REDIS_PROXY, Redis
from meltemi.protocols.servable import folded_names, normalized, refusals, without_unsupported
from meltemi.protocols.tcp import TCP_PROXY, Tcp
from meltemi.protocols.thrift import THRIFT_PROXY, Thrift
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.api import Engine, ProtocolPlugin

PLUGINS: dict[str, tuple[ProtocolPlugin, Engine]] = {
    "dubbo": (Dubbo(), GENERIC_PROXY),
    "thrift": (Thrift(), THRIFT_PROXY),
    "redis": (Redis(), REDIS_PROXY),
    "tcp": (Tcp(), TCP_PROXY),
}


def refused(protocol: str, **match: Matcher) -> list[str]:
    """The codes of what is refused."""
    return [problem.code for problem in refusals(make.route(0, **match), *PLUGINS[protocol])]


@pytest.mark.parametrize("kind", [MatchKind.EXACT, MatchKind.PREFIX, MatchKind.SUFFIX])
def test_an_empty_value_means_any_value_of_a_present_attribute(kind: MatchKind) -> None:
    route = normalized(make.route(0, user=Matcher(kind, inverted=True)))
    assert route.match == {"user": Matcher(MatchKind.PRESENT, inverted=True)}


def test_presence_has_no_value() -> None:
    route = normalized(make.route(0, user=Matcher(MatchKind.PRESENT, "bob", 1, 2)))
    assert route.match == {"user": Matcher(MatchKind.PRESENT)}


def test_an_empty_regex_keeps_its_meaning() -> None:
    assert normalized(make.route(0, user=make.regex(""))).match == {"user": make.regex("")}


@pytest.mark.parametrize(
    ("protocol", "name", "matcher", "code"),
    [
        ("dubbo", "interface", make.regex("org.*"), None),
        ("dubbo", "user", Matcher(MatchKind.EXACT, "bob", inverted=True), None),
        ("dubbo", "user", make.regex("(?=a)"), "MEL0305"),
        ("dubbo", "user", make.regex(""), "MEL0305"),
        ("dubbo", "user", Matcher(MatchKind.RANGE, start=1, end=2), "MEL0306"),
        ("dubbo", "", make.exact("a"), "MEL0306"),
        ("thrift", "method", make.exact("a"), None),
        ("thrift", "method", make.prefix("a"), "MEL0306"),
        ("thrift", "service", Matcher(MatchKind.PRESENT), "MEL0306"),
        ("thrift", "user", Matcher(MatchKind.RANGE, start=1, end=2), None),
        ("thrift", "a\nb", make.exact("a"), "MEL0306"),
        ("thrift", "service", make.exact("a:"), "MEL0306"),
        ("thrift", "user", make.regex("a*"), None),
        ("thrift", "user", Matcher(MatchKind.REGEX, "a+", inverted=True), None),
        ("thrift", "user", Matcher(MatchKind.REGEX, "a*", inverted=True), "MEL0306"),
        ("redis", "key", make.prefix("a"), None),
        ("redis", "key", make.exact("a"), "MEL0306"),
        ("redis", "key", make.prefix("a" * 1001), "MEL0306"),
        ("redis", "key", Matcher(MatchKind.PREFIX, "a", inverted=True), "MEL0306"),
        ("redis", "command", make.exact("get"), "MEL0311"),
        ("tcp", "method", make.exact("get"), "MEL0311"),
    ],
)
def test_a_match_that_the_engine_cannot_express_is_refused(
    protocol: str, name: str, matcher: Matcher, code: str | None
) -> None:
    assert refused(protocol, **{name: matcher}) == ([] if code is None else [code])


def test_a_refusal_names_the_attribute_and_what_can_be_matched() -> None:
    route = make.route(3, method=make.prefix("a"))
    (problem,) = refusals(route, Thrift(), THRIFT_PROXY)
    assert problem.about.field == "spec.routes[3].match.attributes[method]"
    assert problem.cause == "thrift_proxy cannot match 'method' by prefix"
    assert problem.next_step == "it can match it by: exact, present"
    assert problem.unserved


def test_every_attribute_that_is_refused_is_told() -> None:
    assert refused("redis", key=make.exact("a"), command=make.exact("b")) == ["MEL0306", "MEL0311"]


def test_attributes_that_exclude_each_other_are_refused() -> None:
    assert refused("thrift", method=make.exact("a"), service=make.exact("b")) == ["MEL0306"]


def test_a_name_that_the_engine_folds_is_told() -> None:
    route = make.route(0, User=make.exact("bob"), tenant=make.exact("a"))
    (problem,) = folded_names(route, THRIFT_PROXY)
    assert (problem.code, problem.unserved) == ("MEL0313", False)
    assert "'User'" in problem.cause
    assert not [*folded_names(route, GENERIC_PROXY)]


BARE = make.route(0, make.to())


@pytest.mark.parametrize(
    "rich",
    [
        replace(BARE, timeout=0.0),
        replace(BARE, attempts=2),
        replace(BARE, mirrors=(Mirror(make.to()),)),
        replace(BARE, request_mutations=(Mutation("a", "b"),)),
        replace(BARE, response_mutations=(Mutation("a", "b"),)),
        replace(BARE, remove_prefix=True),
    ],
)
def test_a_policy_that_the_engine_lacks_is_taken_out_and_told(rich: Route) -> None:
    route, problems = without_unsupported(rich, TCP_PROXY)
    assert route == BARE
    assert [(problem.code, problem.unserved) for problem in problems] == [("MEL0307", False)]


def test_a_policy_that_the_engine_has_stays() -> None:
    rich = replace(BARE, timeout=1.0, attempts=1)
    assert without_unsupported(rich, GENERIC_PROXY) == (rich, ())
