"""Proxies of every kind side by side: each gets the best engine that it has, and what that costs is
told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.model import Application, Endpoint, Mesh, Ref, Rule, Service
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.compiler import Compiler

NEW, OLD = (1, 40), (1, 36)
RARE = ("MetaProtocol", "KafkaBroker")
"""What no stock Envoy has."""


def service(number: int, name: str, protocol: str, *, application: bool = False) -> Service:
    """``application``: its port is named ``tcp-metaprotocol-<protocol>``."""
    made = make.service(name, protocol, port=20_000 + number, resp=3)
    (port,) = made.ports
    named = replace(port, application=protocol if application else "")
    return replace(made, ports=(named,), allows=frozenset({"dubbo_proxy"} & {name}))


SERVICES = [
    service(1, "dubbo", "dubbo"),
    service(2, "dubbo-app", "dubbo", application=True),
    service(3, "dubbo_proxy", "dubbo"),
    service(4, "thrift", "thrift"),
    service(5, "thrift-app", "thrift", application=True),
    service(6, "redis", "redis"),
    service(7, "kafka", "kafka"),
    service(8, "trpc", "trpc", application=True),
    service(9, "tcp", "tcp"),
]
RULED = ("dubbo", "dubbo-app", "dubbo_proxy", "thrift", "thrift-app")


def rule(name: str) -> Rule:
    """A method with a timeout, and all the rest."""
    timed = replace(make.route(0, make.to(name=name), method=make.exact("a")), timeout=1.0)
    routes = [
        replace(route, ref=replace(route.ref, name=name))
        for route in (timed, make.route(1, make.to(name=name)))
    ]
    return make.rule(*routes, name=name, of=name)


def mesh() -> Mesh:
    everywhere = Endpoint("10.0.0.1", {each.ports[0].number: 8000 for each in SERVICES})
    made = make.mesh(*SERVICES, *map(rule, RULED), endpoints=[everywhere])
    trpc = Application(Ref("ApplicationProtocol", "", "trpc"), "trpc", "codec.trpc")
    return replace(made, applications={"trpc": (trpc,)})


PROXIES = {
    "Envoy 1.40": make.group(proxy=make.capability(*RARE, version=NEW)),
    "Envoy 1.36": make.group(proxy=make.capability(*RARE, version=OLD)),
    "contrib": make.group(proxy=make.capability("MetaProtocol", version=NEW)),
    "Aeraki's": make.group(proxy=make.capability("GenericProxy", "KafkaBroker", version=OLD)),
    "without generic_proxy": make.group(
        proxy=make.capability("GenericProxy", *RARE, version=NEW),
    ),
    "TCP only": make.group(
        proxy=make.capability(
            *RARE, "GenericProxy", "DubboProxy", "ThriftProxy", "RedisProxy", version=NEW
        )
    ),
}

STOCK = {
    "dubbo": "generic_proxy",
    "dubbo-app": "generic_proxy",
    "dubbo_proxy": "generic_proxy",
    "thrift": "thrift_proxy",
    "thrift-app": "thrift_proxy",
    "redis": "redis_proxy",
    "kafka": "tcp_proxy",
    "trpc": "tcp_proxy",
    "tcp": "tcp_proxy",
}
DUBBO_LEFT = {"dubbo": "tcp_proxy", "dubbo-app": "tcp_proxy", "dubbo_proxy": "dubbo_proxy"}

ENGINES: dict[str, dict[str, str]] = {
    "Envoy 1.40": STOCK,
    "Envoy 1.36": STOCK,
    "contrib": STOCK | {"kafka": "kafka_broker"},
    "Aeraki's": STOCK
    | DUBBO_LEFT
    | {"dubbo-app": "meta_protocol_proxy", "trpc": "meta_protocol_proxy"},
    "without generic_proxy": STOCK | DUBBO_LEFT,
    "TCP only": dict.fromkeys(STOCK, "tcp_proxy"),
}

THRIFT_HAS_NO_TIMEOUTS = {"MEL0307 thrift", "MEL0307 thrift-app"}
OLD_REDIS = {"MEL0407 redis", "MEL0505 redis"}
NO_DUBBO = {"MEL0306 dubbo", "MEL0501 dubbo", "MEL0307 dubbo_proxy", "MEL0506 dubbo_proxy"}
COSTS: dict[str, set[str]] = {
    "Envoy 1.40": THRIFT_HAS_NO_TIMEOUTS | {"MEL0501 trpc"},
    "Envoy 1.36": THRIFT_HAS_NO_TIMEOUTS | OLD_REDIS | {"MEL0501 trpc"},
    "contrib": THRIFT_HAS_NO_TIMEOUTS | {"MEL0501 trpc"},
    "Aeraki's": THRIFT_HAS_NO_TIMEOUTS | OLD_REDIS | NO_DUBBO | {"MEL0307 dubbo-app"},
    "without generic_proxy": THRIFT_HAS_NO_TIMEOUTS
    | NO_DUBBO
    | {"MEL0306 dubbo-app", "MEL0501 dubbo-app", "MEL0501 trpc"},
    "TCP only": {f"MEL0306 {name}" for name in RULED}
    | {f"MEL0501 {name}" for name in (*RULED, "redis", "trpc")},
}


@pytest.fixture(scope="module")
def mixed() -> Compiler:
    """All of them at once."""
    return make.compiler(mesh(), *PROXIES.values())


@pytest.mark.parametrize("proxy", PROXIES)
def test_each_proxy_of_a_mixed_fleet_has_the_best_of_its_own_engines(
    proxy: str, mixed: Compiler
) -> None:
    group = mixed.group(PROXIES[proxy])
    found: dict[str, str] = {}
    for each in SERVICES:
        (key,) = group.hosts[each.host]
        piece = group.piece(key)
        assert piece is not None
        assert piece.engine is not None
        found[each.ref.name] = piece.engine.name
    assert found == ENGINES[proxy]


@pytest.mark.parametrize("proxy", PROXIES)
def test_what_a_proxys_engines_cost_is_told(proxy: str) -> None:
    found = make.problems(mesh(), PROXIES[proxy])
    assert {f"{problem.code} {problem.about.name}" for problem in found} == COSTS[proxy]


def test_a_mixed_fleet_is_told_what_each_of_its_proxies_costs(mixed: Compiler) -> None:
    found = {f"{problem.code} {problem.about.name}" for problem in mixed.problems()}
    assert found == set[str]().union(*COSTS.values())


def test_a_port_whose_name_keeps_an_engine_from_it_is_told_the_name() -> None:
    found = make.problems(mesh(), PROXIES["Aeraki's"])
    (problem,) = (each for each in found if each.code == "MEL0501")
    assert "none of dubbo's engines (generic_proxy)" in problem.cause
    assert problem.next_step == (
        "name the port tcp-metaprotocol-dubbo, which its meta_protocol_proxy serves, "
        "or use an Envoy build that has one of them"
    )
