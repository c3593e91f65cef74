"""Proxies that come and go in every way in which proxies go."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from meltemi.controller.offline.presets import preset
from meltemi.testing.xds_client import delta_request, read_delta
from meltemi.xds._pb import discovery_pb2 as pb
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER
from meltemi.xds.server import AGGREGATED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

METHOD = f"/{AGGREGATED}/DeltaAggregatedResources"
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
PATIENCE = 60.0


def introduction() -> bytes:
    """The first request of a stock Envoy, with everything that it was built with."""
    request = pb.DeltaDiscoveryRequest(type_url=CLUSTER)
    request.node.id = "soak"
    for extension in preset().extensions:
        request.node.extensions.add(category=extension.category, type_urls=[extension.type_url])
    return request.SerializeToString()


class Proxy:
    """One life: connect, take what there is, answer, and go in one of ``ENDS``."""

    def __init__(self, port: int, first: bytes) -> None:
        self._address = f"127.0.0.1:{port}"
        self._first = first

    async def live(self, end: Callable[[Any], Awaitable[None]]) -> None:
        async with (
            asyncio.timeout(PATIENCE),
            grpc.aio.insecure_channel(self._address, OPTIONS) as channel,
        ):
            # grpc's stubs make a call generic in what the serializers would be.
            open_call: Any = channel.stream_stream(METHOD)  # pyright: ignore[reportUnknownVariableType]
            call = open_call()
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(self._first)
                clusters = read_delta(await call.read())
                await call.write(delta_request(CLUSTER, nonce=clusters.nonce))
                await call.write(delta_request(ENDPOINT, clusters.names))
                await call.read()
                await call.write(delta_request(LISTENER))
                await end(call)


async def _leaves(call: Any) -> None:
    call.cancel()


async def _closes(call: Any) -> None:
    await call.done_writing()
    await _hear_out(call)


async def _refuses(call: Any) -> None:
    answer = read_delta(await call.read())
    await call.write(delta_request(answer.type_url, nonce=answer.nonce, error="no"))
    await call.done_writing()
    await _hear_out(call)


async def _breaks(call: Any) -> None:
    await call.write(b"\xff\xff\xff")
    await _hear_out(call)


async def _vanishes(_: Any) -> None:
    """The connection is closed under it."""


async def _hear_out(call: Any) -> None:
    """gRPC tells the end of a call only to who has read everything before."""
    while await call.read() is not grpc.aio.EOF:
        pass


ENDS = (_leaves, _closes, _refuses, _breaks, _vanishes)


async def silent(port: int) -> None:
    """A connection without a word, which the server closes."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()
