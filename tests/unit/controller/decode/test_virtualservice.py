"""VirtualServices: what counts for protocols that are not HTTP."""

from __future__ import annotations

import pytest

from meltemi.protocols.model import (
    Destination,
    Layer,
    Matcher,
    MatchKind,
    Mirror,
    Ref,
    Route,
    Rule,
)
from tests.written import decoded, rejected, told, value

SHOP = "shop.demo.svc.cluster.local"
TO_SHOP = "route: [{destination: {host: shop}}]"


def service(*lines: str, hosts: str = "[shop]") -> str:
    return (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\n"
        "metadata: {name: shop, namespace: demo}\n"
        f"spec:\n  hosts: {hosts}\n" + "".join(f"  {line}\n" for line in lines)
    )


def http(*routes: str) -> tuple[Route, ...]:
    return value(service(f"http: [{', '.join(f'{{{route}}}' for route in routes)}]"), Rule).routes


def tcp(*routes: str) -> tuple[Route, ...]:
    return value(service(f"tcp: [{', '.join(f'{{{route}}}' for route in routes)}]"), Rule).routes


def matched(match: str) -> dict[str, Matcher]:
    (route,) = http(f"match: [{match}], {TO_SHOP}")
    assert route.flaw == ""
    return dict(route.match)


def remarks(route: Route) -> list[tuple[str, str, bool]]:
    return [(each.code, each.about.field, each.unserved) for each in route.remarks]


def test_a_route_of_requests_says_where_how_long_and_how_often() -> None:
    assert http(
        "name: canary, timeout: 2s, retries: {attempts: 3}, route: ["
        "{destination: {host: shop, subset: v1}, weight: 3},"
        "{destination: {host: cart.demo.svc.cluster.local, port: {number: 9}}, weight: 1}]"
    ) == (
        Route(
            Ref("VirtualService", "demo", "shop", field="spec.http[0]"),
            "canary",
            {},
            (
                Destination(SHOP, 0, "v1", 3),
                Destination("cart.demo.svc.cluster.local", 9, "", 1),
            ),
            timeout=2.0,
            attempts=3,
            layer=Layer.REQUESTS,
        ),
    )


def test_headers_are_attributes() -> None:
    written = "{headers: {user: {exact: bob}, tag: {prefix: t}, id: {regex: '[0-9]+'}, any: {}}}"
    assert matched(written) == {
        "user": Matcher(MatchKind.EXACT, "bob"),
        "tag": Matcher(MatchKind.PREFIX, "t"),
        "id": Matcher(MatchKind.REGEX, "[0-9]+"),
        "any": Matcher(MatchKind.PRESENT),
    }


def test_headers_that_must_not_be_there_are_inverted_and_the_method_is_the_method() -> None:
    assert matched("{withoutHeaders: {user: {exact: bob}, x: {}}, method: {prefix: get}}") == {
        "user": Matcher(MatchKind.EXACT, "bob", inverted=True),
        "x": Matcher(MatchKind.PRESENT, inverted=True),
        "method": Matcher(MatchKind.PREFIX, "get"),
    }


def test_each_of_several_matches_is_a_route() -> None:
    one, other = http(f"match: [{{port: 7}}, {{headers: {{user: {{exact: bob}}}}}}], {TO_SHOP}")
    assert (one.ref.field, one.port, one.match) == ("spec.http[0].match[0]", 7, {})
    assert (other.ref.field, other.port) == ("spec.http[0].match[1]", 0)
    assert one.destinations == other.destinations


@pytest.mark.parametrize(
    ("match", "field"),
    [
        ("{uri: {prefix: /}}", "uri"),
        ("{authority: {exact: x}}", "authority"),
        ("{queryParams: {a: {exact: x}}}", "queryParams"),
        ("{scheme: {exact: x}}", "scheme"),
        ("{sourceLabels: {app: x}}", "sourceLabels"),
        ("{sourceNamespace: x}", "sourceNamespace"),
        ("{headers: {user: {exact: ''}}}", "headers[user]"),
        ("{headers: {user: {exact: a, prefix: b}}}", "headers[user]"),
        ("{headers: {user: {}}, withoutHeaders: {user: {exact: a}}}", "withoutHeaders[user]"),
        ("{headers: {method: {exact: a}}, method: {exact: a}}", "method"),
    ],
)
def test_a_match_that_cannot_be_said_leaves_its_route_out(match: str, field: str) -> None:
    """It is told where the route is used, not on an object that may be HTTP's."""
    text = f"match: [{match}], {TO_SHOP}"
    (route,) = http(text)
    assert remarks(route) == [("MEL0306", f"spec.http[0].match[0].{field}", True)]
    assert route.flaw == route.remarks[0].cause
    assert told(service(f"http: [{{{text}}}]")) == []


@pytest.mark.parametrize("field", ["redirect: {}", "directResponse: {}", "delegate: {name: x}"])
def test_what_stands_for_destinations_leaves_the_route_out(field: str) -> None:
    (route,) = http(field)
    assert remarks(route) == [("MEL0306", f"spec.http[0].{field.partition(':')[0]}", True)]


@pytest.mark.parametrize(
    ("written", "field"),
    [
        (f"{TO_SHOP}, rewrite: {{uri: /}}", "rewrite"),
        (f"{TO_SHOP}, fault: {{}}", "fault"),
        (f"{TO_SHOP}, corsPolicy: {{}}", "corsPolicy"),
        (f"{TO_SHOP}, headers: {{}}", "headers"),
        (f"{TO_SHOP}, retries: {{attempts: 1, perTryTimeout: 1s}}", "retries.perTryTimeout"),
        ("route: [{destination: {host: shop}, headers: {}}]", "route[0].headers"),
    ],
)
def test_a_policy_that_cannot_be_had_leaves_the_route_in(written: str, field: str) -> None:
    (route,) = http(written)
    assert remarks(route) == [("MEL0110", f"spec.http[0].{field}", False)]
    assert route.flaw == ""


def test_a_field_that_nobody_knows_leaves_the_route_out() -> None:
    text = service(f"http: [{{match: [{{header: {{}}}}], {TO_SHOP}}}]")
    assert told(text) == [("MEL0316", "spec.http[0].match[0].header")]
    assert value(text, Rule).routes[0].flaw


@pytest.mark.parametrize(
    ("written", "percentages"),
    [
        ("mirror: {host: cart}", [100.0]),
        ("mirror: {host: cart}, mirrorPercentage: {value: 12.5}", [12.5]),
        ("mirror: {host: cart}, mirrorPercentage: {value: 0}", []),
        ("mirror: {host: cart}, mirrorPercent: 7", [7.0]),
        (
            "mirrors: [{destination: {host: cart}}, "
            "{destination: {host: cart}, percentage: {value: 3}}]",
            [100.0, 3.0],
        ),
    ],
)
def test_mirrors(written: str, percentages: list[float]) -> None:
    (route,) = http(f"{TO_SHOP}, {written}")
    cart = Destination("cart.demo.svc.cluster.local")
    assert route.mirrors == tuple(Mirror(cart, percentage) for percentage in percentages)


def test_no_timeout_is_written_as_zero() -> None:
    (route,) = http(f"{TO_SHOP}, timeout: 0s")
    assert route.timeout is None


@pytest.mark.parametrize(
    ("weights", "expected"), [((0, 0), ["MEL0304"]), ((0, 5), []), ((1, 1), [])]
)
def test_weights_are_shares_of_whatever_their_sum_is(
    weights: tuple[int, int], expected: list[str]
) -> None:
    listed = ", ".join(f"{{destination: {{host: shop}}, weight: {w}}}" for w in weights)
    (route,) = http(f"route: [{listed}]")
    assert [code for code, _, _ in remarks(route)] == expected
    assert bool(route.flaw) is bool(expected)


def test_routes_of_connections_know_only_the_port() -> None:
    one, other = tcp(
        f"match: [{{port: 7}}], {TO_SHOP}", f"match: [{{sourceLabels: {{}}}}], {TO_SHOP}"
    )
    assert (one.layer, one.port, one.flaw) == (Layer.CONNECTIONS, 7, "")
    assert remarks(other) == [("MEL0306", "spec.tcp[1].match[0].sourceLabels", True)]


def test_what_is_for_gateways_is_nothing_here() -> None:
    routed = f"http: [{{{TO_SHOP}}}]"
    text = service("gateways: [istio-system/edge]", routed)
    assert told(text) == [("MEL0111", "spec.gateways")]
    assert decoded(text).values == ()
    both = service("gateways: [mesh, edge]", routed)
    assert told(both) == [("MEL0111", "spec.gateways")]
    assert value(both, Rule).hosts == (SHOP,)
    matches = f"match: [{{gateways: [edge]}}, {{gateways: [mesh], port: 7}}], {TO_SHOP}"
    assert [route.port for route in http(matches)] == [7]


def test_hosts_that_no_service_can_have_are_nothing_here() -> None:
    text = service(f"http: [{{{TO_SHOP}}}]", hosts="['*.example', 10.0.0.1, Shop]")
    assert told(text) == [("MEL0111", "spec.hosts[0]"), ("MEL0111", "spec.hosts[1]")]
    assert value(text, Rule).hosts == (SHOP,)


def test_routes_by_server_names_are_nothing_here() -> None:
    text = service("tls: [{match: [{sniHosts: [a]}]}]")
    assert told(text) == [("MEL0111", "spec.tls")]
    assert decoded(text).values == ()


def test_it_is_exported_as_it_says() -> None:
    text = service("exportTo: ['.']", f"http: [{{{TO_SHOP}}}]")
    assert value(text, Rule).export_to == (".",)


def test_a_wrong_type_rejects_the_object() -> None:
    assert rejected(service(f"http: [{{{TO_SHOP}, timeout: soon}}]")) == [
        ("MEL0102", "spec.http[0].timeout")
    ]
