"""MetaRouters as Aeraki's users write them, and what is ours beyond that."""

from __future__ import annotations

import pytest

from meltemi.protocols.model import Destination, Matcher, MatchKind, Mirror, Mutation, Route, Rule
from tests.written import problems, rejected, told, value

HOST = "shop.demo.svc.cluster.local"
PLAIN = "route: [{destination: {host: shop}}]"


def router(*routes: str, spec: str = "hosts: [shop]") -> str:
    lines = "".join(f"  - {{{route}}}\n" for route in routes)
    return (
        "apiVersion: metaprotocol.aeraki.io/v1alpha1\nkind: MetaRouter\n"
        f"metadata: {{name: shop, namespace: demo}}\nspec:\n  {spec}\n"
        + (f"  routes:\n{lines}" if routes else "")
    )


def route(written: str) -> Route:
    (found,) = value(router(written), Rule).routes
    return found


def matcher(written: str) -> Matcher:
    return route(f"match: {{attributes: {{a: {written}}}}}, {PLAIN}").match["a"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{exact: x}", Matcher(MatchKind.EXACT, "x")),
        ("{prefix: x}", Matcher(MatchKind.PREFIX, "x")),
        ("{suffix: x}", Matcher(MatchKind.SUFFIX, "x")),
        ("{regex: x.*}", Matcher(MatchKind.REGEX, "x.*")),
        ("{present: true}", Matcher(MatchKind.PRESENT)),
        ("{present: false}", Matcher(MatchKind.PRESENT, inverted=True)),
        ("{present: false, invert: true}", Matcher(MatchKind.PRESENT)),
        ("{exact: x, invert: true}", Matcher(MatchKind.EXACT, "x", inverted=True)),
        ("{invert: true}", Matcher(MatchKind.PRESENT, inverted=True)),
        ("{range: {start: -1, end: 5}}", Matcher(MatchKind.RANGE, start=-1, end=5)),
    ],
)
def test_matchers(written: str, expected: Matcher) -> None:
    assert matcher(written) == expected


def test_quirk_exact_empty_stays_what_matches_any_value() -> None:
    assert matcher("{exact: ''}") == Matcher(MatchKind.EXACT, "")


@pytest.mark.parametrize("written", ["{regex: '*'}", "{}", "null"])
def test_fixed_defect_presence_can_be_written_and_is_not_dropped(written: str) -> None:
    assert matcher(written) == Matcher(MatchKind.PRESENT)


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("{exact: x, prefix: y}", "spec.routes[0].match.attributes[a]"),
        ("{range: {start: 5, end: 5}}", "spec.routes[0].match.attributes[a].range"),
    ],
)
def test_a_matcher_that_cannot_be_meant_rejects_the_object(written: str, field: str) -> None:
    text = router(f"match: {{attributes: {{a: {written}}}}}, {PLAIN}")
    assert rejected(text) == [("MEL0102", field)]


def test_a_route_without_match_takes_everything() -> None:
    assert route(PLAIN).match == {}
    assert route(f"match: {{}}, {PLAIN}").match == {}


def test_destinations_expand_short_names_in_the_objects_namespace() -> None:
    written = "route: [{destination: {host: cart, subset: v1, port: {number: 9}}, weight: 7}]"
    assert route(written).destinations == (
        Destination("cart.demo.svc.cluster.local", port=9, subset="v1", weight=100),
    )


def test_a_name_with_a_dot_is_taken_as_it_stands() -> None:
    assert route("route: [{destination: {host: a.b}}]").destinations[0].host == "a.b"


def test_weights_of_several_destinations_are_kept_zero_included() -> None:
    written = (
        "route: [{destination: {host: shop, subset: v1}, weight: 100},"
        " {destination: {host: shop, subset: v2}}]"
    )
    assert [d.weight for d in route(written).destinations] == [100, 0]


@pytest.mark.parametrize("weights", [(50, 49), (101, 0), (0, 0), (200,), (50, 60, 90)], ids=str)
def test_wrong_weights_cost_the_route_and_nothing_else(weights: tuple[int, ...]) -> None:
    entries = ", ".join(f"{{destination: {{host: shop}}, weight: {w}}}" for w in weights)
    text = router(f"name: bad, route: [{entries}]", f"name: good, {PLAIN}")
    (problem,) = problems(text)
    assert (problem.code, problem.about.field) == ("MEL0304", "spec.routes[0]")
    assert problem.unserved
    assert [(found.name, found.flaw) for found in value(text, Rule).routes] == [
        ("bad", problem.cause),
        ("good", ""),
    ]


@pytest.mark.parametrize(
    "misspelt", ["{destination: {host: a, subst: v1}}", "{destination: {host: a}, wight: 1}"]
)
def test_a_destination_that_is_misspelt_never_goes_to_every_version(misspelt: str) -> None:
    (problem,) = problems(router(f"route: [{misspelt}]", PLAIN))
    assert (problem.code, problem.unserved) == ("MEL0316", True)


def test_a_mirror_that_is_misspelt_keeps_its_route() -> None:
    (problem,) = problems(router(f"mirror: {{host: a, subst: v1}}, {PLAIN}", PLAIN))
    assert (problem.code, problem.unserved) == ("MEL0103", False)


@pytest.mark.parametrize(
    ("written", "field", "meant"),
    [
        ("matches: {attributes: {a: {exact: x}}}", "matches", "match"),
        ("match: {attribute: {a: {exact: x}}}", "match.attribute", "attributes"),
        ("match: {attributes: {a: {exactly: x}}}", "match.attributes[a].exactly", "exact"),
        ("match: {attributes: {a: {range: {start: 1, end: 5, ends: 4}}}}",
         "match.attributes[a].range.ends", "end"),
        ("matches: null", "matches", "match"),
    ],
)  # fmt: skip
def test_a_match_that_is_misspelt_never_widens_the_route(
    written: str, field: str, meant: str
) -> None:
    text = router(f"{written}, {PLAIN}", PLAIN)
    (problem,) = problems(text)
    assert (problem.code, problem.about.field) == ("MEL0316", f"spec.routes[0].{field}")
    assert (problem.next_step, problem.unserved) == (f"did you mean {meant}?", True)
    assert [route.flaw for route in value(text, Rule).routes] == [problem.cause, ""]


def test_the_flaw_of_a_route_is_not_that_of_one_whose_number_begins_alike() -> None:
    text = router(*[PLAIN] * 10, f"matches: {{}}, {PLAIN}")
    assert [bool(route.flaw) for route in value(text, Rule).routes] == [False] * 10 + [True]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("mirror: {host: copy}", 100.0),
        ("mirror: {host: copy}, mirrorPercentage: {value: 0}", 100.0),
        ("mirror: {host: copy}, mirrorPercentage: {value: 12.5}", 12.5),
        ("mirrors: [{destination: {host: copy}}]", 100.0),
        ("mirrors: [{destination: {host: copy}, percentage: 0}]", 0.0),
        ("mirrors: [{destination: {host: copy}, percentage: {value: 7}}]", 7.0),
    ],
)
def test_quirk_absent_or_zero_mirror_percentage_is_all_and_ours_can_say_off(
    written: str, expected: float
) -> None:
    copy = Destination("copy.demo.svc.cluster.local")
    assert route(f"{written}, {PLAIN}").mirrors == (Mirror(copy, expected),)


def test_several_mirrors_keep_their_order() -> None:
    mirrors = "mirror: {host: a.x}, mirrors: [{destination: {host: b.x}}]"
    found = route(f"{mirrors}, {PLAIN}").mirrors
    assert [mirror.destination.host for mirror in found] == ["a.x", "b.x"]


def test_mutations_timeout_and_retries() -> None:
    found = route(
        "requestMutation: [{key: k, value: v}], responseMutation: [{key: r, value: ''}],"
        f"timeout: 1.5s, retries: {{attempts: 2}}, {PLAIN}"
    )
    assert found.request_mutations == (Mutation("k", "v"),)
    assert found.response_mutations == (Mutation("r", ""),)
    assert (found.timeout, found.attempts) == (1.5, 2)


def test_no_timeout_written_is_none() -> None:
    assert route(PLAIN).timeout is None


@pytest.mark.parametrize(
    ("written", "expected"), [("250ms", 0.25), ("1m30s", 90.0), ("0s", 0.0), ("2h", 7200.0)]
)
def test_durations(written: str, expected: float) -> None:
    assert route(f"timeout: {written}, {PLAIN}").timeout == expected


@pytest.mark.parametrize("written", ["5", "-1s", "1.5", "soon", "''", "9999999h", "1s 2s", "1us"])
def test_what_is_no_duration_rejects_the_object(written: str) -> None:
    text = router(f"timeout: '{written}', {PLAIN}".replace("''''", "''"))
    assert rejected(text) == [("MEL0102", "spec.routes[0].timeout")]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("hosts: []", ("MEL0102", "spec.hosts")),
        ("hosts: [a, b]", ("MEL0102", "spec.hosts")),
        ("hosts: ['*.x']", ("MEL0102", "spec.hosts[0]")),
        ("hosts: [10.0.0.1]", ("MEL0102", "spec.hosts[0]")),
        ("hosts: ['a|b']", ("MEL0102", "spec.hosts[0]")),
    ],
)
def test_exactly_one_host_that_can_be_one(spec: str, expected: tuple[str, str]) -> None:
    assert rejected(router(PLAIN, spec=spec)) == [expected]


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("name: x", "spec.routes[0].route"),
        ("route: []", "spec.routes[0].route"),
        ("route: [{weight: 3}]", "spec.routes[0].route[0].destination"),
        (f"mirrorPercentage: {{value: 1}}, {PLAIN}", "spec.routes[0].mirror"),
    ],
)
def test_what_is_missing_rejects_the_object(written: str, field: str) -> None:
    assert rejected(router(written)) == [("MEL0109", field)]


def test_an_object_that_is_cut_off_before_its_routes_is_rejected() -> None:
    assert rejected(router()) == [("MEL0109", "spec.routes")]


def test_fixed_defect_a_rate_limit_without_timeout_is_reported_and_harmless() -> None:
    text = router(spec="hosts: [shop]\n  globalRateLimit: {domain: d}")
    assert told(text) == [("MEL0110", "spec.globalRateLimit")]
    assert value(text, Rule).routes == ()


def test_limits_and_gateways_are_known_and_not_supported_yet() -> None:
    spec = "hosts: [shop]\n  gateways: [a/b]\n  localRateLimit: {tokenBucket: {}}"
    assert told(router(PLAIN, spec=spec)) == [
        ("MEL0110", "spec.gateways"),
        ("MEL0110", "spec.localRateLimit"),
    ]


def test_a_rule_is_for_its_host_and_for_everybody_unless_it_says_so() -> None:
    rule = value(router(PLAIN), Rule)
    assert (rule.hosts, rule.export_to) == ((HOST,), ("*",))
    some = value(router(PLAIN, spec="hosts: [shop]\n  exportTo: ['.', x]"), Rule)
    assert some.export_to == (".", "x")
