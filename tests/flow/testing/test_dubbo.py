from __future__ import annotations

import asyncio
import socket

import pytest

from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.dubbo_wire import Heartbeat, Request, Response, to_bytes
from meltemi.testing.ports import Address


async def test_the_server_tells_its_version_and_echoes_attachments() -> None:
    async with (
        DubboServer("v1") as server,
        await DubboClient.open(server.address) as client,
    ):
        reply = await client.call(
            "demo.Greeter",
            "hello",
            attachments={"user": "bob"},
            version="2.0",
            group="gray",
            arguments=["x"],
        )
        assert reply.result() == "v1"
        assert reply.attachments["user"] == "bob"
        (request,) = server.requests
        assert (request.method, request.version, request.arguments) == ("hello", "2.0", ("x",))
        assert request.attachments["group"] == "gray"


async def test_overlapping_calls_on_one_connection_get_their_own_answers() -> None:
    async def argument(request: Request) -> Response:
        return Response(request.id, value=request.arguments[0])

    async with (
        DubboServer("v1", answer=argument) as server,
        await DubboClient.open(server.address) as client,
    ):
        names = [f"name-{number}" for number in range(100)]
        calls = [client.call("demo.Greeter", "hello", arguments=[name]) for name in names]
        replies = await asyncio.gather(*calls)
        assert [reply.result() for reply in replies] == names
        assert server.connections == 1


async def test_a_silent_server_takes_calls_and_answers_heartbeats_only() -> None:
    async with (
        DubboServer("v1", silent=True) as server,
        await DubboClient.open(server.address) as client,
    ):
        call = asyncio.create_task(client.call("demo.Greeter", "hello"))
        await client.heartbeat()
        assert server.calls == 1
        assert not call.done()
        await server.stop()
        with pytest.raises(ConnectionError):
            await call


async def test_a_slow_server_answers_later_calls_first() -> None:
    async with (
        DubboServer("v1", delay_s=0.05) as server,
        await DubboClient.open(server.address) as client,
    ):
        slow = asyncio.create_task(client.call("demo.Greeter", "hello"))
        await client.heartbeat()
        server.delay_s = 0
        await client.call("demo.Greeter", "hello")
        assert not slow.done()
        assert (await slow).ok


async def test_a_connection_that_was_lost_stays_lost() -> None:
    async with DubboServer("v1") as server:
        client = await DubboClient.open(server.address)
        await client.call("demo.Greeter", "hello")
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await client.call("demo.Greeter", "hello")
    await client.aclose()


async def test_a_stopped_server_refuses_connections() -> None:
    async with DubboServer("v1") as server:
        address = server.address
    with pytest.raises(ConnectionRefusedError):
        await DubboClient.open(address)


async def test_the_client_answers_heartbeats_of_its_peer() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(to_bytes(Heartbeat(7)))
        heard.set_result(await reader.readexactly(16))
        writer.close()

    async with await asyncio.start_server(peer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with await DubboClient.open(Address(host, port)):
            assert await heard == to_bytes(Heartbeat(7, answer=True))[:16]


async def test_garbage_costs_only_the_connection_that_sent_it() -> None:
    async with DubboServer("v1") as server, await DubboClient.open(server.address) as client:
        with socket.create_connection((server.address.host, server.address.port)) as rude:
            rude.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert await asyncio.to_thread(rude.recv, 1) == b""
        assert (await client.call("demo.Greeter", "hello")).ok
