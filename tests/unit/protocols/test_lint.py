"""Objects that contradict each other are told, whatever proxies there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meltemi.protocols.lint import lint
from meltemi.protocols.model import Layer, RedisSettings, RedisUpstream, Ref
from tests import make


def told(*things: make.Thing) -> list[tuple[str, str]]:
    """The code and the object of each problem."""
    return [(p.code, str(p.about.object)) for p in lint(make.mesh(*things), make.host())]


def settings(name: str, namespace: str = "default") -> RedisSettings:
    return RedisSettings(Ref("RedisService", namespace, name), (make.host(),))


def upstream(name: str) -> RedisUpstream:
    return RedisUpstream(Ref("RedisDestination", "default", name), make.host())


@pytest.mark.parametrize("thing", [make.rule(), make.policy(), settings("r"), upstream("d")])
def test_an_object_for_a_host_that_does_not_exist_is_told(thing: make.Thing) -> None:
    assert told(thing) == [("MEL0308", str(thing.ref.object))]


def test_a_broken_regex_is_told_before_there_is_a_host() -> None:
    broken = make.rule(make.route(0, make.to(), user=make.regex("(?=a)")))
    assert [code for code, _ in told(broken)] == ["MEL0308", "MEL0305"]
    assert told(broken, make.service()) == []  # those who compile it tell it then


def test_a_virtualservice_for_unknown_hosts_or_other_ports_is_somebody_elses() -> None:
    virtual = make.rule(kind="VirtualService")
    assert told(virtual) == []
    http = replace(make.route(0, make.to()), layer=Layer.REQUESTS)
    tcp = make.service(protocol="tcp")
    others = [make.rule(http, name=name, kind="VirtualService") for name in "ab"]
    assert told(tcp, *others) == []
    assert told(make.service(), *others) == [("MEL0309", "VirtualService default/b")]


@pytest.mark.parametrize("kind", ["RedisService", "VirtualService"])
def test_what_a_metarouter_takes_the_host_from_is_told(kind: str) -> None:
    other = make.rule(make.route(0, make.to()), kind=kind, name="a")
    assert told(make.service(), make.rule(), other) == [("MEL0309", f"{kind} default/a")]


def test_objects_that_agree_are_no_problem() -> None:
    assert told(make.service(), make.rule(), make.policy(), settings("r"), upstream("d")) == []


def test_the_second_service_of_a_host_is_told() -> None:
    entry = replace(make.service(), ref=Ref("ServiceEntry", "default", "shop"))
    assert told(make.service(), entry) == [("MEL0207", "ServiceEntry default/shop")]


def test_services_of_two_namespaces_may_share_a_host() -> None:
    entry = replace(make.service(), ref=Ref("ServiceEntry", "other", "shop"), namespace="other")
    assert told(make.service(), entry) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (make.rule(name="a"), make.rule(name="b")),
        (make.policy(), replace(make.policy(), ref=Ref("DestinationRule", "default", "zoo"))),
        (settings("a"), settings("b")),
        (upstream("a"), upstream("b")),
    ],
)
def test_the_loser_of_two_objects_in_one_namespace_is_told(
    first: make.Thing, second: make.Thing
) -> None:
    assert told(make.service(), second, first) == [("MEL0309", str(second.ref.object))]


def test_objects_of_two_namespaces_may_rule_one_host() -> None:
    assert told(make.service(), make.rule(), make.rule(namespace="other")) == []


def test_routes_of_a_redisservice_lose_to_a_metarouter_of_any_namespace() -> None:
    router = make.rule(namespace="other")
    assert told(make.service(), router, make.rule(kind="RedisService", name="r")) == [
        ("MEL0309", "RedisService default/r")
    ]
