"""What a peer may take of the server, at the limit and one beyond it: the others notice nothing."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from meltemi.testing.resources import ROUTE, cluster, route
from meltemi.testing.xds_client import delta_request, sotw_request
from meltemi.xds.limits import Limits
from meltemi.xds.resource import CLUSTER, ENDPOINT
from tests.flow.relay import Relay
from tests.flow.xds_rig import DELTA, PATIENCE, Client, greet, serving, still_served

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
EMPTY_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
PAGE = 4096


async def hung_up(port: int, greeting: bytes) -> None:
    """Say this much and nothing more, until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(greeting)
        async with asyncio.timeout(PATIENCE):
            while await reader.read(1000):
                pass
    finally:
        writer.close()
        await writer.wait_closed()


# Size and names


@pytest.mark.parametrize("first", [True, False])
async def test_a_request_may_be_as_large_as_the_limit_and_no_byte_larger(*, first: bool) -> None:
    limit = 70_000

    def request(size: int) -> bytes:
        near = delta_request(CLUSTER, ["x" * (size - 1000)], node="proxy")
        return delta_request(CLUSTER, ["x" * (2 * size - 1000 - len(near))], node="proxy")

    assert len(request(limit)) == limit
    async with serving(Limits(request_bytes=limit)) as rig, rig.client(DELTA) as client:
        if not first:
            await greet(client)
        await client.say(request(limit))
        await client.hear()
        async with rig.client(DELTA) as other:
            if not first:
                await greet(other)
            await other.say(request(limit + 1))
            code, details = await other.end()
            assert code is EXHAUSTED
            assert f"({limit + 1} vs. {limit})" in details
        await client.say(delta_request(ENDPOINT, ["a"]))
        assert (await client.hear()).names == ("a",)


@pytest.mark.parametrize("method", ["sotw", "delta"])
async def test_a_hundred_thousand_names_are_served_by_default(method: str) -> None:
    names = [f"outbound|20880|v1|service-{number}.shop" for number in range(100_000)]
    async with serving() as rig:
        if method == "sotw":
            async with rig.client() as client:
                await client.say(sotw_request(ROUTE, [*names, "r"], node="proxy"))
                assert (await client.hear()).bodies == (b"r=1",)
        else:
            async with rig.client(DELTA) as client:
                await client.say(delta_request(ROUTE, [*names, "r"], node="proxy"))
                assert (await client.hear()).names == ("r",)


async def test_a_stream_may_ask_for_as_many_names_as_the_limit_all_types_together() -> None:
    async with serving(Limits(names=3)) as rig, rig.client(DELTA) as client:
        await client.say(delta_request(ROUTE, ["r", "s"], node="proxy"))
        await client.hear()
        await client.say(delta_request(ENDPOINT, ["a"]))
        assert (await client.hear()).names == ("a",)
        await client.say(delta_request(ENDPOINT, ["b"]))
        code, details = await client.end()
        assert code is EXHAUSTED
        assert "names 4 resources" in details
        assert "more than 3" in details
        assert rig.turned_away == [(EXHAUSTED.name, "names")]


async def test_clusters_that_only_the_proxy_knows_count_while_they_linger() -> None:
    async with serving(Limits(names=3)) as rig, rig.client(DELTA) as client:
        held = {f"c{number}": "1" for number in range(3)}
        await client.say(delta_request(CLUSTER, initial=held, node="proxy"))
        assert (await client.hear()).names == ("a",)
        async with rig.client(DELTA) as other:
            await other.say(delta_request(CLUSTER, initial={**held, "c3": "1"}, node="other"))
            assert (await other.end())[0] is EXHAUSTED


async def test_names_that_were_dropped_do_not_count() -> None:
    async with serving(Limits(names=1)) as rig, rig.client(DELTA) as client:
        await client.say(delta_request(ENDPOINT, ["a"], node="proxy"))
        await client.hear()
        for number in range(5):
            await client.say(delta_request(ENDPOINT, [f"{number}"], ["a", f"{number - 1}"]))
        await client.say(delta_request(ENDPOINT, ["a"], ["4"]))
        async with asyncio.timeout(PATIENCE):
            while (await client.hear()).names != ("a",):
                pass


# How many


async def test_a_peer_may_have_as_many_streams_as_the_limit_and_again_when_one_has_ended() -> None:
    async with serving(Limits(streams_per_peer=2)) as rig, AsyncExitStack() as stack:
        for number in range(2):
            await greet(await stack.enter_async_context(rig.client(DELTA)), str(number))
        async with rig.client(DELTA) as beyond:
            code, details = await beyond.end()
        assert code is EXHAUSTED
        assert "127.0.0.1 has 2 streams" in details
        assert rig.turned_away == [(EXHAUSTED.name, "streams_per_peer")]
        assert [node.id for node in rig.nodes] == ["0", "1"]
        await stack.aclose()
        async with asyncio.timeout(PATIENCE):
            await rig.emptied.wait()
        async with rig.client(DELTA) as again:
            await greet(again)


async def test_a_thousand_streams_of_one_peer_leave_room_for_what_was_there() -> None:
    limits = Limits(streams_per_peer=20)
    async with serving(limits) as rig, rig.client(DELTA) as good, AsyncExitStack() as stack:
        await greet(good)
        address = f"127.0.0.1:{rig.port}"
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
            )
            for _ in range(10)
        ]
        flood = [Client(channels[number % 10], DELTA) for number in range(1000)]
        stack.callback(lambda: [client.call.cancel() for client in flood])
        ended = asyncio.Queue[Any]()
        for client in flood:
            client.call.add_done_callback(ended.put_nowait)
        async with asyncio.timeout(PATIENCE):
            for _ in range(981):
                assert await (await ended.get()).code() is EXHAUSTED
        await still_served(rig, good)


async def test_the_server_may_have_as_many_streams_as_the_limit() -> None:
    async with serving(Limits(streams=1)) as rig, rig.client(DELTA) as client:
        await greet(client)
        async with rig.client(DELTA) as beyond:
            # The connection is counted as well: it may be closed without a word.
            assert (await beyond.end())[0] in {EXHAUSTED, grpc.StatusCode.UNAVAILABLE}
        await still_served(rig, client)


# Silence


@pytest.mark.parametrize(
    "greeting", [b"", PREFACE, PREFACE + EMPTY_SETTINGS], ids=["no-preface", "preface", "settings"]
)
async def test_a_connection_that_opens_no_stream_is_closed(greeting: bytes) -> None:
    async with serving(Limits(first_request=0.2)) as rig, rig.client(DELTA) as client:
        await greet(client)
        await hung_up(rig.port, greeting)
        await still_served(rig, client)


async def test_a_silent_stream_is_told_how_long_it_had() -> None:
    async with serving(Limits(first_request=0.05)) as rig, rig.client() as client:
        code, details = await client.end()
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "within 0.05 s" in details
        assert rig.turned_away == [(code.name, "first_request")]


async def test_a_peer_behind_a_dead_network_is_forgotten_and_a_quiet_one_is_not() -> None:
    limits = Limits(keepalive=0.2)
    async with serving(limits) as rig, rig.client(DELTA) as quiet, Relay(rig.port) as relay:
        await greet(quiet, "quiet")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{relay.port}") as channel:
            await greet(Client(channel, DELTA), "cut off")
            relay.freeze()
            async with asyncio.timeout(PATIENCE):
                await rig.status.ended.wait()
            assert [stream.node.id for stream in rig.status.streams()] == ["quiet"]
        await still_served(rig, quiet)


# Floods


async def test_a_flood_of_requests_is_read_slowly_and_not_cut() -> None:
    limits = Limits(request_rate=1)
    async with serving(limits) as rig, rig.client(DELTA) as good, rig.client(DELTA) as flood:
        await greet(good, "good")
        await greet(flood, "flood")
        for number in range(100):
            await flood.say(delta_request(ROUTE, [f"r{number}"]))
        await still_served(rig, good)
        [stream] = [each for each in rig.group if each.number == 2]
        assert stream.session.names < 20
        assert not flood.call.done()


async def test_a_proxy_that_refuses_everything_gets_nothing_twice() -> None:
    async with serving() as rig, rig.client() as client:
        await client.say(sotw_request(CLUSTER, node="proxy"))
        first = await client.hear()
        for _ in range(100):
            await client.say(sotw_request(CLUSTER, nonce=first.nonce, error="no"))
        rig.publish(cluster("a", content="2"))
        second = await client.hear()
        assert (int(second.nonce), second.bodies) == (int(first.nonce) + 1, (b"a=2",))
        [stream] = rig.status.streams()
        assert [refusal.message for refusal in stream.types[CLUSTER].refusals] == ["no"]


async def test_pings_without_end_end_the_connection_and_no_other() -> None:
    ping = b"\x00\x00\x08\x06\x00\x00\x00\x00\x00" + bytes(8)
    async with serving() as rig, rig.client(DELTA) as client:
        await greet(client)
        await hung_up(rig.port, PREFACE + EMPTY_SETTINGS + ping * 1000)
        await still_served(rig, client)


async def test_streams_that_are_reset_as_soon_as_they_begin_leave_nothing_behind() -> None:
    def begun_and_reset(count: int) -> bytes:
        """And one more, which stays."""
        frames = [
            _frame(1, 0x4, number, CALL) + _frame(3, 0, number, bytes(3) + b"\x08")
            for number in range(1, 2 * count, 2)
        ]
        return b"".join((PREFACE, EMPTY_SETTINGS, *frames, _frame(1, 0x4, 2 * count + 1, CALL)))

    async with serving(Limits(first_request=0.2)) as rig, rig.client(DELTA) as client:
        await greet(client)
        before = len(asyncio.all_tasks())
        await hung_up(rig.port, begun_and_reset(10))
        assert rig.turned_away == [("DEADLINE_EXCEEDED", "first_request")]  # so these are streams
        await hung_up(rig.port, begun_and_reset(2000))
        await still_served(rig, client)
        assert len(asyncio.all_tasks()) <= before


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113 section 4.1."""
    return (
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
    )


def _headers(**values: str) -> bytes:
    """RFC 7541 section 6.2.2, every field a literal with a name of its own."""
    return b"".join(
        b"\x00" + _literal(name.replace("_", "-")) + _literal(value)
        for name, value in values.items()
    )


def _literal(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()


CALL = _headers(
    **{":method": "POST", ":scheme": "http", ":path": DELTA, ":authority": "x"},
    te="trailers",
    content_type="application/grpc",
)


# Backpressure


def resident() -> int:
    """Bytes of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


async def test_a_dead_reader_costs_no_more_however_much_changes() -> None:
    size = 200_000
    limits = Limits(write=3600, grace=0.1)
    async with serving(limits) as rig, rig.client(DELTA) as dead, rig.client(DELTA) as good:
        rig.publish(*(route(f"big{number}", content="x" * 4_000_000) for number in range(3)))
        await dead.say(delta_request(ROUTE, ["*"], node="dead"))
        await greet(good)
        before = resident()
        for number in range(1000):
            rig.publish(route("r", content=f"{number:06}" + "x" * size))
            await asyncio.sleep(0)
        assert resident() - before < 100_000_000  # a queue would hold 200 MB
        await good.say(delta_request(ROUTE, ["r"]))
        assert b"r=000999" in (await good.hear()).bodies[0]
        assert len(rig.group) == 2


async def test_a_peer_that_vanishes_behind_a_blocked_write_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving() as rig:
        async with rig.client(DELTA) as stuck:
            rig.publish(*(route(f"big{number}", content="x" * 8_000_000) for number in range(3)))
            await stuck.say(delta_request(ROUTE, ["*"], node="stuck"))
            await stuck.say(delta_request(CLUSTER))
            await rig.joined(1)
        async with asyncio.timeout(PATIENCE):
            await rig.emptied.wait()
    assert caplog.records == []
    assert rig.turned_away == []


async def test_a_mistake_of_ours_in_one_session_ends_one_stream() -> None:
    async with serving() as rig, rig.client(DELTA) as bad, rig.client(DELTA) as good:
        await greet(bad, "bad")
        await greet(good, "good")

        def fail(*_: object) -> None:
            raise LookupError("a mistake")

        [stream] = [each for each in rig.group if each.number == 1]
        stream.session.update = fail  # type: ignore[assignment, method-assign]
        await still_served(rig, good)
        assert (await bad.end())[0] is grpc.StatusCode.UNKNOWN
        assert rig.turned_away == [("UNKNOWN", "")]
