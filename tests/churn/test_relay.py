"""The network of a run: it passes everything on until it is cut."""

from __future__ import annotations

import asyncio

import pytest

from meltemi.testing.dubbo import DubboClient, DubboServer
from tests.churn.relay import Relay

PATIENCE_S = 20.0


async def test_a_relay_passes_calls_on_and_a_cut_ends_connections_until_it_is_mended() -> None:
    async with DubboServer("v1") as server:
        relay = Relay(server.address)
        async with relay.running(), asyncio.timeout(PATIENCE_S):
            async with await DubboClient.open(relay.address) as client:
                assert (await client.call("demo.Greeter", "hello")).value == "v1"
                relay.cut()
                with pytest.raises(ConnectionError):
                    await client.call("demo.Greeter", "hello")
            async with await DubboClient.open(relay.address) as client:
                with pytest.raises(ConnectionError):
                    await client.call("demo.Greeter", "hello")
            relay.mend()
            async with await DubboClient.open(relay.address) as client:
                assert (await client.call("demo.Greeter", "hello")).value == "v1"


async def test_a_relay_to_nobody_ends_each_connection() -> None:
    async with DubboServer("v1") as server:
        address = server.address
    relay = Relay(address)
    async with relay.running(), asyncio.timeout(PATIENCE_S):
        client = await DubboClient.open(relay.address)
        with pytest.raises(ConnectionError):
            await client.call("demo.Greeter", "hello")
        await client.aclose()
