"""Aeraki's quirks that its users rely on are kept, its defects are not: one test for each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meltemi.controller.nodes import profile
from meltemi.controller.offline.offline import Offline, compile_everything, read_text
from meltemi.controller.offline.presets import preset
from meltemi.controller.settings import Settings
from meltemi.protocols.explain import decide
from meltemi.protocols.model import MatchKind, Route
from meltemi.protocols.registry import load

if TYPE_CHECKING:
    from meltemi.protocols.group import Group

HOST = "orders.example"


def service(name: str, protocol: str, number: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata: {{name: {name}, annotations: {{interface: {name}}}}}
spec:
  hosts: [{name}.example]
  resolution: STATIC
  ports: [{{number: {number}, name: tcp-{protocol}}}]
  endpoints: [{{address: 10.0.0.1, labels: {{version: v1}}}}]
---
"""


def router(routes: str) -> str:
    return f"""
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {{name: orders}}
spec:
  hosts: [{HOST}]
  routes: {routes}
---
"""


def redis_service(spec: str, name: str = "cache") -> str:
    return f"""
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {{name: {name}}}
spec: {spec}
---
"""


ORDERS = service("orders", "metaprotocol-dubbo", 20880)
CACHE = service("cache", "redis", 6379)
TO_ORDERS = "route: [{destination: {host: orders.example}}]"


def loaded(*documents: str) -> tuple[Offline, Group]:
    offline = read_text("".join(documents).encode(), load(), Settings())
    compile_everything(offline)
    return offline, offline.group(profile(preset(), offline.registry).group)


def codes(offline: Offline) -> set[str]:
    return {finding.problem.code for finding in offline.findings()}


def routes_of(offline: Offline, host: str = HOST) -> tuple[Route, ...]:
    return offline.mesh.rules[host][0].routes


def test_kept_an_empty_exact_value_matches_any_value_of_a_present_attribute() -> None:
    offline, _ = loaded(
        ORDERS, router(f"[{{match: {{attributes: {{user: {{exact: ''}}}}}}, {TO_ORDERS}}}]")
    )
    routes = routes_of(offline)
    assert decide(routes, {"user": "anybody"}).route is routes[0]
    assert decide(routes, {}).route is None


def test_kept_an_absent_mirror_percentage_is_everything() -> None:
    offline, _ = loaded(ORDERS, router(f"[{{{TO_ORDERS}, mirror: {{host: orders.example}}}}]"))
    (mirror,) = routes_of(offline)[0].mirrors
    assert mirror.percentage == 100


def test_kept_a_metaprotocol_port_needs_no_proxy_of_its_own() -> None:
    offline, group = loaded(ORDERS)
    assert offline.mesh.services[HOST][0].ports[0].protocol == "dubbo"
    assert {piece.engine.name for piece in group.pieces() if piece.engine} == {"generic_proxy"}


def test_kept_the_regex_star_means_that_the_attribute_is_present() -> None:
    offline, _ = loaded(
        ORDERS, router(f"[{{match: {{attributes: {{user: {{regex: '*'}}}}}}, {TO_ORDERS}}}]")
    )
    assert routes_of(offline)[0].match["user"].kind is MatchKind.PRESENT
    assert codes(offline) == set()


def test_fixed_a_port_name_without_application_is_reported_and_spares_the_other_ports() -> None:
    offline, _ = loaded(
        ORDERS.replace(
            "ports: [{number: 20880, name: tcp-metaprotocol-dubbo}]",
            "ports: [{number: 20880, name: tcp-metaprotocol}, {number: 20881, name: tcp-dubbo}]",
        )
    )
    assert "MEL0201" in codes(offline)
    assert [port.number for port in offline.mesh.services[HOST][0].ports] == [20881]


def test_fixed_a_service_without_hosts_takes_no_other_service_down() -> None:
    broken = service("broken", "dubbo", 20890).replace("hosts: [broken.example]", "hosts: []")
    offline, group = loaded(broken, ORDERS)
    assert HOST in group.hosts
    assert {f.problem.about.name for f in offline.findings()} == {"broken"}


def test_fixed_attributes_have_one_order_whatever_order_they_were_written_in() -> None:
    one = "{a: {exact: x}, b: {exact: y}}"
    other = "{b: {exact: y}, a: {exact: x}}"
    versions: set[tuple[str, ...]] = set()
    for attributes in (one, other):
        _, group = loaded(ORDERS, router(f"[{{match: {{attributes: {attributes}}}, {TO_ORDERS}}}]"))
        versions.add(
            tuple(group.snapshot.version(type_url) for type_url in sorted(group.snapshot.types()))
        )
    assert len(versions) == 1


def test_fixed_two_rules_of_one_host_the_loser_is_told_and_the_winner_does_not_flap() -> None:
    first, second = router(f"[{{{TO_ORDERS}}}]"), router(f"[{{{TO_ORDERS}}}]")
    second = second.replace("name: orders}", "name: zorders}")
    for documents in ((first, second), (second, first)):
        offline, _ = loaded(ORDERS, *documents)
        assert offline.mesh.rules[HOST][0].ref.name == "orders"
        told = [f for f in offline.findings() if f.problem.code == "MEL0309"]
        assert [finding.problem.about.name for finding in told] == ["zorders"]


def test_fixed_a_changed_rule_changes_only_its_own_resources() -> None:
    other = service("other", "thrift", 9090)
    _, before = loaded(ORDERS, other, router(f"[{{{TO_ORDERS}}}]"))
    _, after = loaded(
        ORDERS, other, router(f"[{{match: {{attributes: {{method: {{exact: a}}}}}}, {TO_ORDERS}}}]")
    )
    changed = {
        name
        for type_url in after.snapshot.types()
        for name, resource in after.snapshot.of_type(type_url).items()
        if before.snapshot.of_type(type_url)[name].version != resource.version
    }
    assert changed == {"orders.example_20880"}


def test_fixed_a_read_policy_means_what_it_says() -> None:
    offline, _ = loaded(
        CACHE, redis_service("{host: [cache.example], settings: {readPolicy: PREFER_REPLICA}}")
    )
    assert offline.mesh.redis["cache.example"][0].read_policy == "PREFER_REPLICA"


def test_fixed_a_mirror_goes_to_its_own_port() -> None:
    copy = service("copy", "redis", 6380)
    offline, _ = loaded(
        CACHE,
        copy,
        redis_service(
            "{host: [cache.example], redis: [{route: {host: cache.example, port: 6379}, mirror: "
            "[{route: {host: copy.example, port: 6380}, percentage: {value: 50}}]}]}"
        ),
    )
    (mirror,) = routes_of(offline, "cache.example")[0].mirrors
    assert (mirror.destination.host, mirror.destination.port) == ("copy.example", 6380)


def test_fixed_case_insensitivity_and_the_limit_of_unknown_upstreams_are_honoured() -> None:
    offline, _ = loaded(
        CACHE,
        redis_service(
            "{host: [cache.example], "
            "settings: {caseInsensitive: true, maxUpstreamUnknownConnections: 7}}"
        ),
    )
    settings = offline.mesh.redis["cache.example"][0]
    assert (settings.case_insensitive, settings.max_upstream_unknown_connections) == (True, 7)


def test_fixed_what_crashed_aeraki_is_a_finding_and_spares_the_others() -> None:
    for spec in (
        "{host: [cache.example], redis: [{match: {key: {prefix: a}}}]}",
        "{host: [cache.example], redis: [{route: {host: cache.example, port: 6379}, "
        "mirror: [{route: {host: cache.example, port: 6379}}]}]}",
        "{host: [cache.example], faults: [{type: ERROR, commands: [GET]}]}",
        "{host: [cache.example], globalRateLimit: {}}",
    ):
        offline, group = loaded(CACHE, ORDERS, redis_service(spec))
        assert {"cache.example", HOST} <= group.hosts.keys(), spec
        assert all(f.problem.about.name == "cache" for f in offline.findings()), spec


def test_fixed_a_missing_secret_locks_instead_of_opening() -> None:
    offline, group = loaded(
        CACHE,
        redis_service("{host: [cache.example], settings: {auth: {secret: {name: nowhere}}}}"),
    )
    assert "MEL0403" in codes(offline)
    (listener,) = group.snapshot.of_type(LISTENER).values()
    assert b"locked" in listener.body


def test_fixed_a_rule_is_not_visible_where_it_is_not_exported_to() -> None:
    hijack = router(f"[{{{TO_ORDERS}}}]").replace("spec:\n", "spec:\n  exportTo: ['.']\n")
    hijack = hijack.replace("name: orders}", "name: hijack, namespace: elsewhere}")
    offline, group = loaded(ORDERS, hijack)
    assert all(piece.rule is None for piece in group.pieces())
    other = offline.group(replace(group.key, namespace="elsewhere"))
    assert [piece.rule.ref.name for piece in other.pieces() if piece.rule] == ["hijack"]


LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
