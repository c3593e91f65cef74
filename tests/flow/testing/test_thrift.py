from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from meltemi.testing.thrift import AsyncThriftClient, ThriftClient, ThriftServer


@pytest.mark.parametrize("transport", ["header", "framed"])
async def test_the_server_answers_each_transport_with_version_and_name(
    transport: Literal["header", "framed"],
) -> None:
    async with (
        ThriftServer("v1") as server,
        await AsyncThriftClient.open(server.address, transport=transport) as client,
    ):
        assert await client.hello("ann") == "v1:ann"
        assert await client.call("Greeter:goodbye", "bob") == "v1:bob"
        assert [request.method for request in server.requests] == ["hello", "Greeter:goodbye"]
        assert (server.calls, server.connections) == (2, 1)


async def test_headers_travel_with_their_call_only() -> None:
    async with ThriftServer("v1") as server, await AsyncThriftClient.open(server.address) as client:
        await client.call("hello", "ann", {"user": "bob"})
        await client.call("hello", "ann")
        assert [request.headers for request in server.requests] == [{"user": "bob"}, {}]


async def test_a_framed_client_cannot_send_headers() -> None:
    async with ThriftServer("v1") as server:
        with ThriftClient(server.address, transport="framed") as client:
            with pytest.raises(ValueError, match="only the header transport"):
                client.call("hello", "ann", {"user": "bob"})
            assert client.hello("ann") == "v1:ann"


async def test_stopping_a_silent_server_ends_the_calls_that_wait_for_it() -> None:
    async with (
        ThriftServer("v1", silent=True) as server,
        await AsyncThriftClient.open(server.address) as client,
    ):
        call = asyncio.create_task(client.hello("ann"))
        while not server.calls:  # noqa: ASYNC110  # the server is in a thread
            await asyncio.sleep(0)
        await server.stop()
        with pytest.raises(ConnectionError):
            await call
        with pytest.raises(ConnectionError):
            await client.hello("ann")


async def test_a_call_that_takes_too_long_costs_the_connection() -> None:
    async with (
        ThriftServer("v1", silent=True) as server,
        await AsyncThriftClient.open(server.address, timeout_s=0.05) as client,
    ):
        with pytest.raises(ConnectionError, match="timeout"):
            await client.hello("ann")
        server.silent = False
        with pytest.raises(ConnectionError, match="was lost"):
            await client.hello("ann")


async def test_a_stopped_server_refuses_connections() -> None:
    async with ThriftServer("v1") as server:
        address = server.address
    with pytest.raises(ConnectionRefusedError):
        await AsyncThriftClient.open(address)
