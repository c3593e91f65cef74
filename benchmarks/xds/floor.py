"""The floor: what grpc.aio and Python cost without any product logic.

Responses are made once for everybody, requests are told apart by a search in their bytes. Nobody
could serve real proxies like this.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from meltemi.xds import wire
from meltemi.xds.server import AGGREGATED
from meltemi.xds.wire import Header

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from meltemi.xds.credentials import MutualTls
    from meltemi.xds.resource import Resource

Responses = dict[bytes, bytes]
"""The first response of each type, by the type's URL."""


class Floor:
    """Serves everything to whoever asks, SotW and delta."""

    def __init__(self, resources: Iterable[Resource], tls: MutualTls | None = None) -> None:
        self._tls = tls
        by_type: dict[str, list[Resource]] = {}
        for each in resources:
            by_type.setdefault(each.type_url, []).append(each)
        headers = {url: Header(url, "1", "1", "floor") for url in by_type}
        self._sotw = {
            url.encode(): wire.encode_sotw(headers[url], wire.sotw_body(found))
            for url, found in by_type.items()
        }
        self._delta = {
            url.encode(): wire.encode_delta(headers[url], wire.delta_body(found, ()))
            for url, found in by_type.items()
        }
        self._streams: dict[asyncio.Queue[bytes], bool] = {}
        self._number = 1

    def publish(self, changed: Resource) -> None:
        """Send one resource to everybody."""
        self._number += 1
        header = Header(changed.type_url, str(self._number), str(self._number), "floor")
        sotw = wire.encode_sotw(header, wire.sotw_body([changed]))
        delta = wire.encode_delta(header, wire.delta_body([changed], ()))
        for queue, is_delta in self._streams.items():
            queue.put_nowait(delta if is_delta else sotw)

    @asynccontextmanager
    async def serve(self, address: str) -> AsyncGenerator[int]:
        """Listen on ``host:port`` while the context lasts; gives the port."""

        async def sotw(_: object, context: Any) -> None:
            await self._stream(context, self._sotw, is_delta=False)

        async def delta(_: object, context: Any) -> None:
            await self._stream(context, self._delta, is_delta=True)

        methods: dict[str, Any] = {
            "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(sotw),
            "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(delta),
        }
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(AGGREGATED, methods),)
        )
        if self._tls is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, self._tls.server_credentials())
        await server.start()
        try:
            yield port
        finally:
            await server.stop(0)

    async def _stream(
        self, context: Any, responses: Mapping[bytes, bytes], *, is_delta: bool
    ) -> None:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._streams[queue] = is_delta
        writer = asyncio.create_task(_write(queue, context))
        asked: set[bytes] = set()
        try:
            while (raw := await context.read()) is not grpc.aio.EOF:
                for url, response in responses.items():
                    if url not in asked and url in raw:
                        asked.add(url)
                        queue.put_nowait(response)
        finally:
            writer.cancel()
            del self._streams[queue]


async def _write(queue: asyncio.Queue[bytes], context: Any) -> None:
    while True:
        await context.write(await queue.get())
