"""The server over loopback: a real gRPC client, groups, and peers that misbehave."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc
import pytest

from meltemi.testing.resources import ROUTE, cluster, route
from meltemi.testing.xds_client import delta_request, sotw_request
from meltemi.xds.limits import Limits
from meltemi.xds.resource import CLUSTER, ENDPOINT, RUNTIME
from tests.flow.xds_rig import DELTA, PATIENCE, Rig, serving, throw


async def test_a_sotw_stream_is_served_and_hears_of_changes() -> None:
    async with serving() as rig, rig.client() as client:
        await client.say(sotw_request(CLUSTER, node="proxy"))
        first = await client.hear()
        assert (first.bodies, first.identifier) == ((b"a=1",), "meltemi")
        await client.say(sotw_request(CLUSTER, nonce=first.nonce, version=first.version))
        rig.publish(cluster("b"))
        second = await client.hear()
        assert set(second.bodies) == {b"a=1", b"b=1"}
        assert [node.id for node in rig.nodes] == ["proxy"]


async def test_a_delta_stream_is_served_on_the_same_port() -> None:
    async with serving() as rig, rig.client(DELTA) as client, rig.client() as other:
        await client.say(delta_request(CLUSTER, node="delta"))
        await other.say(sotw_request(CLUSTER, node="sotw"))
        assert (await client.hear()).names == ("a",)
        assert (await other.hear()).bodies == (b"a=1",)
        assert len(rig.group) == 2


async def test_what_proxies_say_reaches_the_observer() -> None:
    async with serving() as rig, rig.client() as client:
        await client.say(sotw_request(CLUSTER, node="proxy"))
        first = await client.hear()
        await client.say(sotw_request(CLUSTER, nonce=first.nonce, error="bad"))
        await client.say(sotw_request(ENDPOINT, ["a"]))
        await client.hear()  # so the request before it has been read
        [stream] = rig.status.streams()
        [refusal] = stream.types[CLUSTER].refusals
        assert stream.node.id == "proxy"
        assert (refusal.message, refusal.names) == ("bad", ("a",))


async def test_a_service_of_one_type_needs_no_type_in_the_request() -> None:
    method = "/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints"
    async with serving() as rig, rig.client(method) as client:
        await client.say(sotw_request("", ["a"], node="proxy"))
        response = await client.hear()
        assert (response.type_url, response.bodies) == (ENDPOINT, (b"a=1",))


async def test_a_service_of_a_type_without_rules_is_not_offered() -> None:
    method = "/envoy.service.extension.v3.ExtensionConfigDiscoveryService/StreamExtensionConfigs"
    async with serving() as rig, rig.client(method) as client:
        assert (await client.end())[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_a_request_without_node_id_ends_the_stream_and_registers_nothing() -> None:
    async with serving() as rig, rig.client() as client, rig.client(DELTA) as other:
        await client.say(sotw_request(CLUSTER))
        await other.say(delta_request(CLUSTER))
        for end in (await client.end(), await other.end()):
            assert end[0] is grpc.StatusCode.INVALID_ARGUMENT
            assert "node.id" in end[1]
        assert (len(rig.group), rig.nodes, rig.status.streams()) == (0, [], ())


async def test_a_request_without_type_ends_the_stream() -> None:
    async with serving() as rig, rig.client() as client:
        await client.say(sotw_request("", node="proxy"))
        code, details = await client.end()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "type_url" in details


async def test_another_node_on_a_stream_ends_it() -> None:
    async with serving() as rig, rig.client() as client:
        await client.say(sotw_request(CLUSTER, node="proxy"))
        await client.hear()
        await client.say(sotw_request(CLUSTER, node="other"))
        assert (await client.end())[0] is grpc.StatusCode.INVALID_ARGUMENT
        await rig.emptied.wait()
        assert rig.status.streams() == ()


async def test_bytes_that_are_no_request_end_only_their_stream() -> None:
    async with serving() as rig, rig.client() as good, rig.client() as bad:
        await good.say(sotw_request(CLUSTER, node="good"))
        await good.hear()
        await bad.say(b"\xff\xff\xff")
        assert (await bad.end())[0] is grpc.StatusCode.INVALID_ARGUMENT
        rig.publish(cluster("a", content="2"))
        await good.say(sotw_request(CLUSTER, nonce="1"))
        assert (await good.hear()).bodies == (b"a=2",)


async def test_garbage_on_the_port_disturbs_nobody() -> None:
    async with serving() as rig, rig.client() as client:
        await client.say(sotw_request(CLUSTER, node="proxy"))
        first = await client.hear()
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 64, b"PRI * HTTP/2.0\r\n"):
            await throw(garbage, rig.port)
        await client.say(sotw_request(CLUSTER, nonce=first.nonce))
        rig.publish(cluster("a", content="2"))
        assert (await client.hear()).bodies == (b"a=2",)


async def test_an_unknown_type_is_silence_on_a_living_stream() -> None:
    async with serving() as rig, rig.client() as client:
        await client.say(sotw_request("type.googleapis.com/unknown", node="proxy"))
        await client.say(sotw_request(RUNTIME, ["layer"]))
        assert (await client.hear()).type_url == RUNTIME


async def test_a_half_closed_stream_gets_what_is_due_and_ends_well() -> None:
    async with serving() as rig, rig.client() as client:
        await client.say(sotw_request(CLUSTER, node="proxy"))
        await client.call.done_writing()
        assert (await client.hear()).bodies == (b"a=1",)
        assert (await client.end())[0] is grpc.StatusCode.OK
        await rig.emptied.wait()
        assert (len(rig.group), rig.status.streams()) == (0, ())


async def test_a_stream_that_ends_before_its_first_request_ends_well() -> None:
    async with serving() as rig, rig.client() as client:
        await client.call.done_writing()
        assert (await client.end())[0] is grpc.StatusCode.OK


async def test_a_client_that_vanishes_is_forgotten() -> None:
    async with serving() as rig:
        async with rig.client() as client:
            await client.say(sotw_request(CLUSTER, node="proxy"))
            await client.hear()
        async with asyncio.timeout(PATIENCE):
            await rig.emptied.wait()
        assert (len(rig.group), rig.status.streams()) == (0, ())
        rig.publish(cluster("b"))


async def test_a_refused_proxy_learns_why() -> None:
    async with serving() as rig, rig.client() as client:
        await client.say(sotw_request(CLUSTER, node="intruder"))
        assert await client.end() == (grpc.StatusCode.PERMISSION_DENIED, "not you")
        assert rig.status.streams() == ()


async def test_nobody_is_served_before_the_server_is_ready() -> None:
    async with serving() as rig:
        rig.server.ready = False
        async with rig.client() as client:
            assert (await client.end())[0] is grpc.StatusCode.UNAVAILABLE
        rig.server.ready = True
        async with rig.client() as client:
            await client.say(sotw_request(CLUSTER, node="proxy"))
            assert (await client.hear()).bodies == (b"a=1",)


async def test_a_peer_that_never_says_a_word_is_sent_away() -> None:
    async with serving(Limits(first_request=0.05)) as rig, rig.client() as client:
        assert (await client.end())[0] is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_stopping_ends_idle_streams_without_waiting_for_the_grace_period() -> None:
    rig = Rig(Limits(grace=3600))
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(PATIENCE), rig.server.serve("127.0.0.1:0") as rig.port:
            client = await stack.enter_async_context(rig.client())
            await client.say(sotw_request(CLUSTER, node="proxy"))
            await client.hear()
        assert (await client.end())[0] is grpc.StatusCode.UNAVAILABLE
        assert len(rig.group) == 0


async def test_a_slow_reader_gets_the_latest_state_and_nothing_between() -> None:
    async with serving() as rig, rig.client(DELTA) as client:
        await client.say(delta_request(ROUTE, ["r"], node="proxy"))
        first = await client.hear()
        for content in range(2, 50):
            rig.publish(route("r", content=str(content)))
        await client.say(delta_request(ROUTE, nonce=first.nonce))
        assert (await client.hear()).bodies == (b"r=49",)


async def test_a_reader_that_never_reads_is_sent_away_and_others_are_served() -> None:
    big = "x" * 8_000_000
    limits = Limits(write=0.2, grace=0.2)
    async with serving(limits) as rig, rig.client(DELTA) as stuck, rig.client(DELTA) as good:
        rig.publish(*(route(f"big{number}", content=big) for number in range(3)))
        await stuck.say(delta_request(ROUTE, ["*"], node="stuck"))
        await good.say(delta_request(CLUSTER, node="good"))
        await good.hear()
        async with asyncio.timeout(PATIENCE):
            await rig.status.ended.wait()
        assert [stream.node.id for stream in rig.status.streams()] == ["good"]
        rig.publish(cluster("b"))
        await good.say(delta_request(CLUSTER, nonce="1"))
        assert (await good.hear()).names == ("b",)
        await stuck.hear()  # when it reads at last, it learns that it must come again
        assert (await stuck.end())[0] is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize(
    "address", ["0.0.0.0:0", "[::]:0", "10.0.0.1:18000", "name:1", "127.0.0.1", ""]
)
async def test_only_loopback_is_bound_without_tls(address: str) -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="loopback"):
        async with rig.server.serve(address):
            pass


async def test_a_port_that_is_taken_is_said_so() -> None:
    async with serving() as rig:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{rig.port}"):
            async with Rig().server.serve(f"127.0.0.1:{rig.port}"):
                pass


async def test_a_large_reconnect_fits_into_one_message() -> None:
    names = {
        f"outbound|20880|v1|service-{number}.shop": "0123456789abcdef" for number in range(100_000)
    }
    async with serving() as rig, rig.client(DELTA) as client:
        await client.say(delta_request(ENDPOINT, [*names, "a"], initial=names, node="proxy"))
        assert (await client.hear()).names == ("a",)
