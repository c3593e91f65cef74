"""What values of the model say of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meltemi.protocols.model import Layer
from tests import make

DUBBO = make.service().ports[0]
TCP = make.service(protocol="tcp", port=7).ports[0]
ROUTE = make.route(0, make.to())
OTHER = replace(make.route(1, make.to()), port=TCP.number)


@pytest.mark.parametrize(
    ("layer", "dubbo", "tcp"),
    [(Layer.ANY, True, True), (Layer.REQUESTS, True, False), (Layer.CONNECTIONS, False, True)],
)
def test_a_route_concerns_the_ports_of_its_layer(layer: Layer, *, dubbo: bool, tcp: bool) -> None:
    route = replace(ROUTE, layer=layer)
    assert (route.concerns(DUBBO), route.concerns(TCP)) == (dubbo, tcp)


def test_a_route_for_one_port_concerns_no_other() -> None:
    assert (OTHER.concerns(DUBBO), OTHER.concerns(TCP)) == (False, True)


def test_a_rule_says_of_a_port_what_its_routes_for_that_port_say() -> None:
    both = make.rule(ROUTE, OTHER)
    assert both.on(TCP) is both
    assert both.on(DUBBO) == make.rule(ROUTE)
    assert make.rule(OTHER).on(DUBBO) is None


def test_a_rule_without_routes_says_so_of_every_port() -> None:
    assert make.rule().on(DUBBO) == make.rule()
