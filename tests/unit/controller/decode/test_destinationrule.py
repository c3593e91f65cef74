"""DestinationRules: subsets and the part of a traffic policy that is served."""

from __future__ import annotations

import pytest

from meltemi.protocols.model import (
    DestinationPolicy,
    LoadBalancer,
    OutlierDetection,
    Ref,
    Subset,
    TrafficPolicy,
)
from tests.written import decoded, rejected, told, value

OBJECT = Ref("DestinationRule", "demo", "shop")


def rule(*lines: str, host: str = "shop") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n"
        f"metadata: {{name: shop, namespace: demo}}\nspec:\n  host: '{host}'\n"
        + "".join(f"  {line}\n" for line in lines)
    )


def policy(written: str) -> TrafficPolicy:
    return value(rule(f"trafficPolicy: {written}"), DestinationPolicy).policy


def test_a_bare_rule_changes_nothing() -> None:
    found = value(rule(), DestinationPolicy)
    assert found == DestinationPolicy(OBJECT, "shop.demo.svc.cluster.local")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ROUND_ROBIN", LoadBalancer.ROUND_ROBIN),
        ("LEAST_REQUEST", LoadBalancer.LEAST_REQUEST),
        ("LEAST_CONN", LoadBalancer.LEAST_REQUEST),
        ("RANDOM", LoadBalancer.RANDOM),
        ("UNSPECIFIED", None),
    ],
)
def test_load_balancers(written: str, expected: LoadBalancer | None) -> None:
    assert policy(f"{{loadBalancer: {{simple: {written}}}}}").load_balancer == expected


def test_passthrough_is_a_warning() -> None:
    text = rule("trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}")
    assert told(text) == [("MEL0110", "spec.trafficPolicy.loadBalancer.simple")]
    assert value(text, DestinationPolicy).policy == TrafficPolicy()


@pytest.mark.parametrize("written", ["0s", "0.0000001s"])
@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ("{connectionPool: {tcp: {connectTimeout: T}}}", "connectionPool.tcp.connectTimeout"),
        ("{outlierDetection: {interval: T}}", "outlierDetection.interval"),
        ("{outlierDetection: {baseEjectionTime: T}}", "outlierDetection.baseEjectionTime"),
    ],
)
def test_a_duration_that_envoy_would_refuse_rejects_the_object(
    policy: str, field: str, written: str
) -> None:
    text = rule(f"trafficPolicy: {policy.replace('T}', f'{written}}}')}")
    assert rejected(text) == [("MEL0102", f"spec.trafficPolicy.{field}")]


def test_an_unknown_load_balancer_rejects_the_object() -> None:
    text = rule("trafficPolicy: {loadBalancer: {simple: FASTEST}}")
    assert rejected(text) == [("MEL0102", "spec.trafficPolicy.loadBalancer.simple")]


def test_connections_outliers_and_tls() -> None:
    found = policy(
        "{connectionPool: {tcp: {maxConnections: 9, connectTimeout: 500ms}}, tls: {mode: SIMPLE},"
        " outlierDetection: {consecutive5xxErrors: 3, interval: 1s, baseEjectionTime: 1m,"
        " maxEjectionPercent: 50}}"
    )
    assert found == TrafficPolicy(
        max_connections=9,
        connect_timeout=0.5,
        outlier_detection=OutlierDetection(3, 1.0, 60.0, 50),
        tls="SIMPLE",
    )


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{consecutiveErrors: 4}", 4),
        ("{consecutiveErrors: 4, consecutiveGatewayErrors: 0}", 0),
        ("{}", None),
    ],
)
def test_the_newest_name_of_an_error_count_wins(written: str, expected: int | None) -> None:
    found = policy(f"{{outlierDetection: {written}}}").outlier_detection
    assert found == OutlierDetection(expected)


def test_ports_and_subsets_have_policies_of_their_own() -> None:
    text = rule(
        "trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 7},"
        " tls: {mode: MUTUAL}}]}",
        "subsets: [{name: v1, labels: {version: v1}},"
        " {name: v2, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]",
    )
    found = value(text, DestinationPolicy)
    assert found.port_policies == {7: TrafficPolicy(tls="MUTUAL")}
    assert found.subsets == (
        Subset("v1", {"version": "v1"}, OBJECT.at("spec.subsets[0]")),
        Subset(
            "v2",
            {},
            OBJECT.at("spec.subsets[1]"),
            TrafficPolicy(load_balancer=LoadBalancer.RANDOM),
        ),
    )


def test_a_subset_name_stands_there_once() -> None:
    text = rule("subsets: [{name: v1}, {name: v1}]")
    assert rejected(text) == [("MEL0102", "spec.subsets[1].name")]


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("{loadBalancer: {consistentHash: {}}}", "loadBalancer.consistentHash"),
        ("{connectionPool: {http: {}}}", "connectionPool.http"),
        ("{connectionPool: {tcp: {idleTimeout: 1s}}}", "connectionPool.tcp.idleTimeout"),
        ("{outlierDetection: {minHealthPercent: 1}}", "outlierDetection.minHealthPercent"),
        ("{tunnel: {}}", "tunnel"),
    ],
)
def test_what_istio_knows_and_we_do_not_serve_is_a_warning(written: str, field: str) -> None:
    assert told(rule(f"trafficPolicy: {written}")) == [("MEL0110", f"spec.trafficPolicy.{field}")]


def test_what_istio_does_not_know_either_is_an_unknown_field() -> None:
    text = rule("trafficPolicy: {connectionPol: {}}")
    assert told(text) == [("MEL0103", "spec.trafficPolicy.connectionPol")]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (rule(host="*.demo"), "spec.host"),
        (rule("workloadSelector: {matchLabels: {a: b}}"), "spec.workloadSelector"),
    ],
)
def test_a_rule_is_never_applied_to_more_than_it_says(text: str, field: str) -> None:
    assert told(text) == [("MEL0110", field)]
    assert decoded(text).values == ()
