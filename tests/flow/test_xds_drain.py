"""How streams end that nothing is wrong with: of age, or because the server stops."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from meltemi.testing.resources import ROUTE, cluster, route
from meltemi.testing.xds_client import delta_request, sotw_request
from meltemi.xds.limits import Limits
from meltemi.xds.resource import CLUSTER
from tests.flow.xds_rig import DELTA, PATIENCE, SOTW, Client, Rig

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE


@asynccontextmanager
async def stopped(limits: Limits, clients: int) -> AsyncGenerator[tuple[Rig, list[Client]]]:
    """A server that has stopped when the context is entered, under streams that had the clusters
    and were owed one change.
    """
    rig = Rig(limits)
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(PATIENCE), rig.server.serve("127.0.0.1:0") as rig.port:
            streams = [await stack.enter_async_context(rig.client(DELTA)) for _ in range(clients)]
            for client in streams:
                await client.say(delta_request(CLUSTER, node="proxy"))
                first = await client.hear()
                await client.say(delta_request(CLUSTER, nonce=first.nonce))
                await client.say(delta_request(ROUTE, ["r"]))
                await client.hear()
            rig.publish(cluster("a", content="2"))
        yield rig, streams


async def test_a_stopping_server_ends_streams_with_what_is_due_and_where_to_go() -> None:
    async with stopped(Limits(grace=3600), clients=5) as (rig, streams):
        for client in streams:
            assert (await client.hear()).bodies == (b"a=2",)
            assert await client.end() == (UNAVAILABLE, "the server is stopping")
        assert len(rig.group) == 0
        assert rig.turned_away == [(UNAVAILABLE.name, "")] * 5


async def test_a_server_without_streams_stops_at_once() -> None:
    async with stopped(Limits(grace=3600), clients=0) as (rig, _):
        assert not rig.server.ready


async def test_streams_end_one_after_the_other() -> None:
    async with stopped(Limits(grace=1), clients=30) as (rig, _):
        assert rig.status.closings == list(range(1, 31))


async def test_nobody_is_let_in_while_others_are_seen_off() -> None:
    rig = Rig(Limits(grace=3600, write=3600))
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(AsyncExitStack())
        rig.port = await serving.enter_async_context(rig.server.serve("127.0.0.1:0"))
        stuck = await stack.enter_async_context(rig.client(DELTA))
        rig.publish(*(route(f"big{number}", content="x" * 8_000_000) for number in range(3)))
        await stuck.say(delta_request(ROUTE, ["*"], node="stuck"))
        await rig.joined(1)
        stopping = asyncio.create_task(serving.aclose())
        await rig.until_stopping()
        late = await stack.enter_async_context(rig.client(DELTA))
        # gRPC says the second where the server had not yet told the connection.
        assert (await late.end())[0] in {UNAVAILABLE, grpc.StatusCode.CANCELLED}
        assert len(rig.group) == 1
        stuck.call.cancel()
        async with asyncio.timeout(PATIENCE):
            await stopping


async def test_the_grace_ends_also_for_who_does_not_read_and_who_never_spoke() -> None:
    rig = Rig(Limits(grace=0.2, write=3600))
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(PATIENCE), rig.server.serve("127.0.0.1:0") as rig.port:
            stuck = await stack.enter_async_context(rig.client(DELTA))
            silent = await stack.enter_async_context(rig.client(DELTA))
            rig.publish(*(route(f"big{number}", content="x" * 8_000_000) for number in range(3)))
            await stuck.say(delta_request(ROUTE, ["*"], node="stuck"))
            await rig.joined(1)
            await silent.call.write(b"")
            silent.call.cancel()
        assert len(rig.group) == 0


async def test_a_silent_stream_does_not_hold_up_the_end() -> None:
    rig = Rig(Limits(grace=3600, first_request=3600))
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(PATIENCE), rig.server.serve("127.0.0.1:0") as rig.port:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{rig.port}")
            await stack.enter_async_context(channel)
            silent = Client(channel, DELTA)
            await channel.channel_ready()
            talks = Client(channel, DELTA)
            await talks.say(delta_request(CLUSTER, node="proxy"))
            await talks.hear()  # the streams of a connection begin in order
        assert (await silent.end())[0] is UNAVAILABLE


async def test_an_idle_call_of_something_else_on_the_port_does_not_hold_up_the_end() -> None:
    idle = asyncio.Event()

    async def something_else(*_: object) -> None:
        idle.set()
        await asyncio.Event().wait()

    # grpc's stubs know the blocking flavour of handlers only.
    handler: Any = something_else
    methods: dict[str, Any] = {"Call": grpc.stream_stream_rpc_method_handler(handler)}
    rig = Rig(Limits(grace=3600))
    rig.server.offer(grpc.method_handlers_generic_handler("else", methods))
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(PATIENCE), rig.server.serve("127.0.0.1:0") as rig.port:
            await stack.enter_async_context(rig.client("/else/Call"))
            await idle.wait()
        assert idle.is_set()


async def test_a_stream_of_age_ends_well_and_the_next_one_is_served() -> None:
    rig = Rig(Limits(age=0.2))
    async with rig.server.serve("127.0.0.1:0") as rig.port, rig.client(DELTA) as client:
        for _ in range(3):
            await client.say(delta_request(CLUSTER, node="proxy"))
            assert (await client.hear()).names == ("a",)
            assert await client.end() == (OK, "")
            client.again()
        assert rig.turned_away == []


async def test_a_stream_that_was_given_nothing_yet_gets_as_much_time_again() -> None:
    rig = Rig(Limits(age=0.5))
    async with rig.server.serve("127.0.0.1:0") as rig.port, rig.client(DELTA) as client:
        async with rig.client(DELTA) as other:
            await other.say(delta_request(CLUSTER, node="other"))
            await other.hear()
            await client.say(delta_request(ROUTE, ["later"], node="proxy"))
            assert (await other.end())[0] is OK
        assert (await client.end())[0] is OK
        assert rig.status.closings == [1, 2]


async def test_a_stream_past_its_age_ends_as_soon_as_it_was_given_something() -> None:
    rig = Rig(Limits(age=3600))
    async with rig.server.serve("127.0.0.1:0") as rig.port, rig.client(DELTA) as client:
        await client.say(delta_request(ROUTE, ["later"], node="proxy"))
        await client.say(delta_request(CLUSTER, ["none"]))
        assert (await client.hear()).type_url == CLUSTER
        [stream] = await rig.joined(1)
        stream.retire()
        assert (await client.end())[0] is OK
        await rig.joined(0)
        client.again()
        await client.say(delta_request(ROUTE, ["later"], node="proxy"))
        [stream] = await rig.joined(1)
        stream.retire()
        rig.publish(route("later"))
        assert (await client.hear()).names == ("later",)
        assert (await client.end())[0] is OK


@pytest.mark.parametrize("method", [SOTW, DELTA], ids=["sotw", "delta"])
async def test_a_stream_past_its_age_stays_while_its_end_would_take_clusters_away(
    method: str,
) -> None:
    rig, request = Rig(Limits(age=3600)), sotw_request if method == SOTW else delta_request
    async with rig.server.serve("127.0.0.1:0") as rig.port, rig.client(method) as client:
        await client.say(request(CLUSTER, node="proxy"))
        first = await client.hear()
        await client.say(request(CLUSTER, nonce=first.nonce))
        rig.remove(cluster("a"))
        [stream] = await rig.joined(1)
        stream.retire()
        if method == SOTW:
            await client.say(request(ROUTE, ["r"]))
            assert (await client.hear()).bodies == (b"r=1",)
            rig.publish(cluster("a", content="2"))
            assert (await client.hear()).bodies == (b"a=2",)
        assert (await client.end())[0] is OK


async def test_streams_last_for_ever_where_there_is_no_age() -> None:
    rig = Rig(Limits(age=0))
    async with rig.server.serve("127.0.0.1:0") as rig.port, rig.client(DELTA) as client:
        await client.say(delta_request(CLUSTER, node="proxy"))
        await client.hear()
        rig.publish(cluster("a", content="2"))
        await client.say(delta_request(CLUSTER, nonce="1"))
        assert (await client.hear()).bodies == (b"a=2",)
