"""Both IP versions through a real Envoy: clients come by either, endpoints are found by either."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from meltemi.protocols.group import VIP
from meltemi.protocols.model import Endpoint
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.ports import Address
from tests import make
from tests.envoy.serving import BIND, served

pytestmark = pytest.mark.envoy

IPV6 = "::1"
OTHER_PORT = make.PORT + 1
"""Nobody shares the one IPv6 loopback address with other ports of these tests."""


@pytest.mark.parametrize("client", [BIND, IPV6], ids=["IPv4", "IPv6"])
async def test_a_service_is_called_at_its_addresses_of_both_versions(client: str) -> None:
    shop = make.service(port=OTHER_PORT, addresses=(BIND, IPV6))
    async with AsyncExitStack() as closing:
        server = await closing.enter_async_context(DubboServer("v1"))
        at = Endpoint(server.address.host, {OTHER_PORT: server.address.port})
        snapshot = make.snapshot(make.mesh(shop, endpoints=[at]), make.group(bind=VIP))
        on = await closing.enter_async_context(served(snapshot))
        await on.envoy.wait_ready()
        opening = DubboClient.open(Address(client, OTHER_PORT))
        called = await closing.enter_async_context(await opening)
        assert (await called.call("demo.Greeter", "hello")).value == "v1"


@pytest.mark.parametrize("also", [(), ("127.0.0.1",)])
async def test_an_endpoint_that_cannot_be_reached_by_one_version_is_by_the_other(
    also: tuple[str, ...],
) -> None:
    """Where no active check stands before it, which asks for the first address alone."""
    async with AsyncExitStack() as closing:
        server = await closing.enter_async_context(DubboServer("v1"))
        at = Endpoint(IPV6, {make.PORT: server.address.port}, also=also)
        found = make.mesh(make.service(protocol="tcp"), endpoints=[at])
        snapshot = make.snapshot(found, make.group(bind=BIND))
        on = await closing.enter_async_context(served(snapshot))
        await on.envoy.wait_ready()
        opening = DubboClient.open(Address(BIND, make.PORT))
        client = await closing.enter_async_context(await opening)
        try:
            assert (await client.call("demo.Greeter", "hello")).value == "v1"
            reached = True
        except ConnectionError:
            reached = False
    assert reached is bool(also)
