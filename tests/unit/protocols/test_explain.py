"""The routing decision: what each matcher accepts, which route wins, what people are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.protocols.explain import decide
from meltemi.protocols.model import Matcher, MatchKind, Ref, Route

RULE = Ref("MetaRouter", "shop", "cart")
EVERYTHING = Route(RULE.at("spec.routes[99]"), "everything")


def route(index: int = 0, **match: Matcher) -> Route:
    return Route(RULE.at(f"spec.routes[{index}]"), f"route-{index}", match)


def exact(value: str) -> Matcher:
    return Matcher(MatchKind.EXACT, value)


def within(start: int, end: int) -> Matcher:
    return Matcher(MatchKind.RANGE, start=start, end=end)


def inverted(matcher: Matcher) -> Matcher:
    return Matcher(matcher.kind, matcher.value, matcher.start, matcher.end, not matcher.inverted)


def accepts(matcher: Matcher, value: str | None) -> bool:
    attributes = {} if value is None else {"method": value}
    return decide([route(method=matcher)], attributes).route is not None


def reason(matcher: Matcher, value: str | None) -> str:
    attributes = {} if value is None else {"method": value}
    return decide([route(method=matcher)], attributes).considered[0].reason


@pytest.mark.parametrize(
    ("matcher", "value"),
    [
        (exact("hello"), "hello"),
        (exact(""), "anything"),
        (exact(""), ""),
        (Matcher(MatchKind.PREFIX, "he"), "hello"),
        (Matcher(MatchKind.SUFFIX, "lo"), "hello"),
        (Matcher(MatchKind.REGEX, "h.*o"), "hello"),
        (Matcher(MatchKind.REGEX, "h..llo"), "höllo"),
        (Matcher(MatchKind.REGEX, "hö.*"), "höllo"),
        (Matcher(MatchKind.PRESENT), ""),
        (within(3, 5), "3"),
        (within(3, 5), "004"),
        (within(-3, 5), " -3 "),
        (within(3, 5), "+4"),
        (within(3, 5), "0" * 5000 + "4"),
        (within(-(2**63), 0), str(-(2**63))),
    ],
)
def test_a_matcher_accepts(matcher: Matcher, value: str) -> None:
    assert accepts(matcher, value)


@pytest.mark.parametrize(
    ("matcher", "value"),
    [
        (exact("hello"), "Hello"),
        (exact("hello"), ""),
        (Matcher(MatchKind.PREFIX, "he"), "she"),
        (Matcher(MatchKind.SUFFIX, "lo"), "low"),
        (Matcher(MatchKind.REGEX, "ell"), "hello"),
        (Matcher(MatchKind.REGEX, "a|ab"), "abc"),
        (Matcher(MatchKind.REGEX, "h.*o"), "hel\nlo"),
        (Matcher(MatchKind.REGEX, "h.llo"), "höllo"),
        (within(3, 5), "5"),
        (within(3, 5), "2"),
        (within(3, 5), "four"),
        (within(3, 5), "3.5"),
        (within(3, 5), ""),
        (within(3, 5), "٤"),
        (within(0, 2**63 - 1), "1_0"),
        (within(0, 2**64), str(2**63)),
        (within(0, 2**64), "9" * 5000),
    ],
)
def test_a_matcher_refuses(matcher: Matcher, value: str) -> None:
    assert not accepts(matcher, value)


PLAIN = st.one_of(
    st.builds(
        Matcher,
        st.sampled_from([MatchKind.EXACT, MatchKind.PREFIX, MatchKind.SUFFIX]),
        st.text(max_size=3),
    ),
    st.builds(
        Matcher, st.just(MatchKind.REGEX), st.sampled_from(["", "a.*", "[a-c]+", ".", "a|b"])
    ),
    st.builds(Matcher, st.just(MatchKind.RANGE), start=st.integers(-5, 5), end=st.integers(-5, 5)),
    st.just(Matcher(MatchKind.PRESENT)),
)
MATCHERS = PLAIN | PLAIN.map(inverted)
NAMES = st.sampled_from(["method", "user"])
VALUES = st.text("abc", max_size=2) | st.integers(-9, 9).map(str) | st.text(max_size=3)
REQUESTS = st.dictionaries(NAMES, VALUES)
ROUTES = st.lists(st.dictionaries(NAMES, MATCHERS)).map(
    lambda matches: [route(index, **match) for index, match in enumerate(matches)]
)


@given(PLAIN)
def test_an_absent_attribute_fails_every_plain_matcher(matcher: Matcher) -> None:
    assert not accepts(matcher, None)
    assert reason(matcher, None) == "attribute 'method' is absent"


@given(PLAIN, st.none() | VALUES)
def test_an_inverted_matcher_is_the_exact_complement(matcher: Matcher, value: str | None) -> None:
    assert accepts(inverted(matcher), value) is not accepts(matcher, value)


@pytest.mark.parametrize("pattern", ["(", r"(a)\1", "(?=a)", "[z-a]"])
def test_a_regex_that_is_not_re2_matches_nothing_not_even_inverted(pattern: str) -> None:
    matcher = Matcher(MatchKind.REGEX, pattern)
    assert not accepts(matcher, "a")
    assert not accepts(inverted(matcher), "a")
    assert reason(matcher, "a") == f"the regex {pattern!r} for method is not RE2"


def test_a_value_that_is_not_unicode_is_compared_without_failing() -> None:
    assert accepts(Matcher(MatchKind.REGEX, "a.*"), "a\ud800")
    assert accepts(Matcher(MatchKind.PREFIX, "\udcff"), "\udcff")


@given(ROUTES, REQUESTS)
def test_a_catch_all_at_the_end_never_changes_an_earlier_decision(
    routes: list[Route], request: dict[str, str]
) -> None:
    before = decide(routes, request)
    after = decide([*routes, EVERYTHING], request)
    assert after.route is (EVERYTHING if before.route is None else before.route)
    assert after.considered[: len(before.considered)] == before.considered


@given(ROUTES, REQUESTS)
def test_the_first_route_that_would_match_alone_decides(
    routes: list[Route], request: dict[str, str]
) -> None:
    alone = [line for line in routes if decide([line], request).route is line]
    assert decide(routes, request).route is (alone[0] if alone else None)


@given(ROUTES, REQUESTS)
def test_every_route_up_to_the_decision_is_considered_in_order(
    routes: list[Route], request: dict[str, str]
) -> None:
    decision = decide(routes, request)
    refs = [verdict.ref for verdict in decision.considered]
    assert refs == [line.ref for line in routes][: len(refs)]
    matched = [verdict.matched for verdict in decision.considered]
    assert matched == [False] * len(routes) if decision.route is None else matched[-1]
    assert not any(matched[:-1])


@given(st.dictionaries(NAMES, MATCHERS), NAMES, MATCHERS, REQUESTS)
def test_one_more_condition_never_widens_a_route(
    match: dict[str, Matcher], name: str, matcher: Matcher, request: dict[str, str]
) -> None:
    narrower = route(0, **{name: matcher, **match})
    if decide([narrower], request).route is not None:
        assert decide([route(0, **match)], request).route is not None


@given(ROUTES, REQUESTS, st.data())
def test_an_unserved_route_decides_as_if_it_were_not_there(
    routes: list[Route], request: dict[str, str], data: st.DataObject
) -> None:
    indexes = st.sets(st.integers(0, len(routes) - 1)) if routes else st.just(set[int]())
    left_out = data.draw(indexes)
    unserved = {routes[index].ref: "its subset does not exist" for index in left_out}
    served = [line for index, line in enumerate(routes) if index not in left_out]
    assert decide(routes, request, unserved).route is decide(served, request).route


def test_an_unserved_route_is_reported_with_its_own_reason() -> None:
    lines = [route(0), route(1)]
    decision = decide(lines, {}, {lines[0].ref: "the engine has no range match"})
    assert decision.route is lines[1]
    assert [(verdict.matched, verdict.reason) for verdict in decision.considered] == [
        (False, "the engine has no range match"),
        (True, "it matches every request"),
    ]


def test_without_routes_nothing_decides() -> None:
    decision = decide([], {"method": "hello"})
    assert decision.route is None
    assert decision.considered == ()


def test_names_of_attributes_are_exact() -> None:
    assert decide([route(User=exact("ada"))], {"user": "ada"}).route is None


@pytest.mark.parametrize(
    ("pattern", "old", "new"),
    [
        ("h.llo", True, False),
        ("h..llo", False, True),
        ("h[ä-ü]llo", True, False),
        ("hö.*", True, True),
    ],
)
def test_a_regex_reads_letters_before_envoy_1_39_and_bytes_since(
    pattern: str, *, old: bool, new: bool
) -> None:
    routes = [route(method=Matcher(MatchKind.REGEX, pattern))]
    for envoy, matches in (((1, 38), old), ((1, 39), new)):
        assert (decide(routes, {"method": "höllo"}, envoy=envoy).route is not None) is matches


@pytest.mark.parametrize(
    ("matcher", "value", "said"),
    [
        (exact("hello"), "hello", "method is 'hello'"),
        (exact("bye"), "hello", "method is 'hello', not 'bye'"),
        (exact(""), "hello", "method is present"),
        (Matcher(MatchKind.PRESENT), "hello", "method is present"),
        (inverted(exact("bye")), "hello", "method is 'hello', not 'bye' (inverted)"),
        (inverted(exact("hello")), "hello", "method is 'hello' (inverted)"),
        (inverted(exact("hello")), None, "attribute 'method' is absent (inverted)"),
        (Matcher(MatchKind.PREFIX, "he"), "hello", "method is 'hello', which starts with 'he'"),
        (Matcher(MatchKind.SUFFIX, "x"), "hello", "method is 'hello', which does not end with 'x'"),
        (
            Matcher(MatchKind.REGEX, "h.*"),
            "hello",
            "method is 'hello', which matches the regex 'h.*'",
        ),
        (
            within(1, 5),
            "7",
            "method is '7', which is not a number from 1 up to, not including, 5",
        ),
        (within(1, 5), "2", "method is '2', which is a number from 1 up to, not including, 5"),
    ],
)
def test_a_reason_reads_as_a_sentence(matcher: Matcher, value: str | None, said: str) -> None:
    assert reason(matcher, value) == said


def test_all_conditions_that_failed_are_named_and_only_those() -> None:
    line = route(method=exact("bye"), user=exact("ada"), group=exact("a"))
    decision = decide([line], {"method": "hello", "user": "ada"})
    assert decision.considered[0].reason == (
        "method is 'hello', not 'bye' and attribute 'group' is absent"
    )


def test_all_conditions_that_held_are_named() -> None:
    line = route(method=exact("hello"), user=Matcher(MatchKind.PRESENT))
    decision = decide([line], {"method": "hello", "user": "ada"})
    assert decision.considered[0].reason == "method is 'hello' and user is present"
