"""Cases put to rules: what counts as a difference, and which routes were reached."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.controller.nodes import profile
from meltemi.controller.offline.explanation import (
    Explanation,
    MirrorTarget,
    RuleName,
)
from meltemi.controller.offline.explanation import Target as Served
from meltemi.controller.offline.offline import Offline, read_text
from meltemi.controller.offline.presets import preset
from meltemi.controller.offline.route_cases import (
    NO_TIMEOUT,
    Expectation,
    Target,
    WantedRule,
    read_cases,
)
from meltemi.controller.offline.route_tests import (
    Coverage,
    Difference,
    Examiner,
    RouteId,
    Verdict,
    coverage,
    differences,
)
from meltemi.controller.settings import Settings
from meltemi.protocols.model import Ref
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.group import Group

ANSWER = Explanation(
    host="shop.example",
    port=80,
    protocol="dubbo",
    engine="generic_proxy",
    rule=RuleName("MetaRouter", "default", "shop", "canary"),
    destinations=(
        Served("shop.example", 80, "v1", 80, ()),
        Served("shop.example", 80, "v2", 20, ()),
    ),
    mirrors=(MirrorTarget("copy.west.svc.cluster.local", 80, "", 50.0),),
    timeout=0.3,
    outcome="route",
    considered=(),
)
V1, V2 = Target(subset="v1"), Target(subset="v2")


def fields(wanted: Expectation, answer: Explanation = ANSWER) -> list[str]:
    """The fields that differ."""
    return [difference.field for difference in differences(wanted, answer, "west")]


def test_what_is_not_written_is_not_compared() -> None:
    assert fields(Expectation()) == []


def test_everything_that_is_written_is_compared() -> None:
    wanted = Expectation(
        rule=WantedRule("RedisService", "west", "cart", "all"),
        destinations=(),
        mirrors=(),
        timeout=1.0,
        outcome="error",
    )
    assert fields(wanted) == [
        "rule.kind",
        "rule.namespace",
        "rule.name",
        "rule.route",
        "outcome",
        "destinations",
        "mirrors",
        "timeout",
    ]


def test_a_rule_is_compared_as_far_as_it_is_named() -> None:
    for wanted in (WantedRule(route="canary"), WantedRule("MetaRouter", name="shop")):
        assert fields(Expectation(rule=wanted)) == []


def test_where_no_route_decided_the_outcome_is_told() -> None:
    nothing = replace(ANSWER, rule=None, outcome="error")
    wanted = Expectation(rule=WantedRule(None, "west", "shop", "canary"))
    assert list(differences(wanted, nothing, "west")) == [
        Difference("rule", "west/shop/canary", "none, the outcome is error")
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        (V1, V2),
        (V2, V1),
        (Target(share=20), Target(share=80)),
        (Target(), Target(subset="v1")),
        (Target(host="shop.example"), Target(host="shop.example", port=80, subset="v1")),
    ],
)
def test_destinations_have_no_order_and_are_compared_as_far_as_they_are_written(
    wanted: tuple[Target, ...],
) -> None:
    assert fields(Expectation(destinations=wanted)) == []


@pytest.mark.parametrize(
    "wanted",
    [
        (),
        (V1,),
        (V1, V1),
        (V1, V2, Target()),
        (V1, Target(subset="v2", share=10)),
        (V1, Target(host="cart.example")),
        (V1, Target(port=81)),
    ],
)
def test_a_destination_too_few_too_many_or_of_another_kind_is_a_difference(
    wanted: tuple[Target, ...],
) -> None:
    assert fields(Expectation(destinations=wanted)) == ["destinations"]


@pytest.mark.parametrize(
    "wanted", [(V1,), (V1, V2), (V1, V2._replace(share=0)), (Target(host="shop.example"),)]
)
def test_a_destination_that_gets_nothing_need_not_be_named(wanted: tuple[Target, ...]) -> None:
    one, other = ANSWER.destinations
    for served in ((one, replace(other, weight=0)), (replace(other, weight=0), one)):
        answer = replace(ANSWER, destinations=served)
        assert fields(Expectation(destinations=wanted), answer) == []


def test_a_destination_that_gets_nothing_does_not_stand_for_one_that_gets_something() -> None:
    idle = replace(ANSWER, destinations=(replace(ANSWER.destinations[0], weight=0),))
    assert fields(Expectation(destinations=(V2,)), idle) == ["destinations"]
    assert fields(Expectation(destinations=(V1._replace(share=100),)), idle) == ["destinations"]


def test_many_alike_destinations_are_told_apart_in_no_time() -> None:
    served = tuple(Served("shop.example", 80, f"v{i}", 5, ()) for i in range(20))
    wanted = (*[Target(host="shop.example")] * 19, Target(subset="v20"))
    answer = replace(ANSWER, destinations=served)
    assert fields(Expectation(destinations=wanted), answer) == ["destinations"]


def test_a_short_host_is_a_service_of_the_clients_namespace() -> None:
    assert fields(Expectation(mirrors=(Target(host="copy"),))) == []
    (difference,) = differences(Expectation(mirrors=(Target(host="copy"),)), ANSWER, "east")
    assert difference.expected == "copy.east.svc.cluster.local"


def test_mirrors_have_percentages() -> None:
    assert fields(Expectation(mirrors=(Target(share=50),))) == []
    assert fields(Expectation(mirrors=(Target(share=51),))) == ["mirrors"]


@pytest.mark.parametrize(
    ("wanted", "actual", "expected"),
    [
        (0.1 + 0.2, 0.3, []),
        (0.2, 0.3, ["timeout"]),
        (NO_TIMEOUT, None, []),
        (NO_TIMEOUT, 0.0, ["timeout"]),
        (0.0, None, ["timeout"]),
    ],
)
def test_a_timeout_is_the_same_number_of_seconds_or_none_at_all(
    wanted: float | str, actual: float | None, expected: list[str]
) -> None:
    assert fields(Expectation(timeout=wanted), replace(ANSWER, timeout=actual)) == expected


def test_a_difference_says_what_was_expected_and_what_is_there() -> None:
    wanted = Expectation(destinations=(V1, Target("cart.example", 81, share=20), Target()))
    assert list(differences(wanted, ANSWER, "west")) == [
        Difference(
            "destinations",
            "/v1, cart.example:81 20 %, anything",
            "shop.example:80/v1 80 %, shop.example:80/v2 20 %",
        )
    ]


RULES = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {ports: [{name: tcp-dubbo, port: 20880}, {name: tcp, port: 80}]}
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: shop}
spec:
  hosts: [shop]
  routes:
    - name: refunds
      match: {attributes: {method: {exact: refund}}}
      route: [{destination: {host: shop}}]
    - match: {attributes: {method: {exact: place}}}
      route: [{destination: {host: shop}}]
"""


def verdicts(text: str) -> tuple[Offline, tuple[Verdict, ...]]:
    """What the rules make of the cases."""
    offline = read_text(RULES.encode(), make.registry(), Settings())
    key = profile(preset(), make.registry()).group

    def group(namespace: str | None) -> Group:
        return offline.group(key if namespace is None else replace(key, namespace=namespace))

    reading = read_cases("x.routes.yaml", text.encode())
    assert reading.mistakes == ()
    examiner = Examiner(offline.mesh, offline.registry, group)
    return offline, tuple(map(examiner.verdict, reading.cases))


def verdict(case: str) -> Verdict:
    _, (found,) = verdicts(f"- {{name: a, {case}}}")
    return found


def test_a_case_is_put_to_the_rules() -> None:
    refund = "host: shop, port: 20880, attributes: {method: refund}"
    assert verdict(f"{refund}, expect: refunds").passed
    failed = verdict(f"{refund}, expect: 'spec.routes[1]'")
    assert not failed.passed
    assert failed.differences == (Difference("rule.route", "spec.routes[1]", "refunds"),)
    assert failed.answer is not None
    assert failed.answer.considered[0].matched


def test_a_route_that_nobody_wrote_is_a_slip_of_the_pen() -> None:
    refund = "host: shop, port: 20880, attributes: {method: refund}"
    (close,) = verdict(f"{refund}, expect: refund").differences
    assert close.hint == "did you mean refunds?"
    (far,) = verdict(f"{refund}, expect: zzz").differences
    assert far.hint == "no rule has such a route"


def test_an_unmatched_request_is_the_protocols_error() -> None:
    assert verdict("host: shop, port: 20880, expect: {outcome: error, destinations: []}").passed


def test_a_case_may_say_where_its_client_is() -> None:
    elsewhere = verdict("host: shop, port: 20880, namespace: west, expect: refunds")
    assert elsewhere.answer is None
    assert elsewhere.error.startswith("no service 'shop.west.svc.cluster.local' is visible")


def test_an_attribute_that_the_protocol_does_not_have_fails_the_case() -> None:
    assert verdict("host: shop, port: 80, expect: {outcome: default}").passed
    wrong = verdict("host: shop, port: 80, attributes: {method: a}, expect: {outcome: default}")
    assert wrong.error == "tcp has no attribute 'method'; it has: none"


def test_routes_are_reached_by_cases_that_pass_or_fail() -> None:
    offline, found = verdicts(
        "- {name: a, host: shop, port: 20880, attributes: {method: place}, expect: zzz}"
    )
    ref = Ref("MetaRouter", "default", "shop")
    assert coverage(offline.mesh, found) == Coverage(
        reached=(RouteId(ref.at("spec.routes[1]"), ""),),
        unreached=(RouteId(ref.at("spec.routes[0]"), "refunds"),),
    )


def test_a_rule_of_two_hosts_has_its_routes_once() -> None:
    rule = replace(make.rule(make.route(0, make.to())), hosts=(make.host("a"), make.host("b")))
    covered = coverage(make.mesh(rule), ())
    assert (covered.total, covered.percent) == (1, 0.0)


def test_without_a_route_everything_is_reached() -> None:
    assert coverage(make.mesh(), ()).percent == 100.0
