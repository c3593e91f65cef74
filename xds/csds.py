"""Client status discovery (``envoy.service.status.v3``): what proxies hold, for tools that ask."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.message import DecodeError

from meltemi.xds._pb import csds_pb2 as pb
from meltemi.xds.client_status import MatchError, client_config, matching
from meltemi.xds.limits import LimitError
from meltemi.xds.server import Refused
from meltemi.xds.stream import read_request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
    from contextlib import AbstractContextManager

    from meltemi.xds.client_status import Client
    from meltemi.xds.peer import Peer
    from meltemi.xds.resource import Resource
    from meltemi.xds.stream import Context

T = TypeVar("T")

SERVICE = "envoy.service.status.v3.ClientStatusDiscoveryService"

MOST = 100
"""Clients in one answer; each may have thousands of resources."""

SILENCE = 60.0
"""Seconds between two requests of a stream, and to read an answer."""


class ClientStatusDiscovery:
    """Answers requests. ``visit`` says who calls, who counts as long as that context lasts;
    ``clients`` gives the streams that a peer may know of. Both may raise ``Refused``, the first
    ``LimitError`` too. ``contents``: the body of a resource as it may be shown, None if it may not.
    """

    def __init__(
        self,
        visit: Callable[[Context], AbstractContextManager[Peer]],
        clients: Callable[[Peer], Iterable[Client]],
        contents: Callable[[Resource], bytes | None],
    ) -> None:
        self._visit = visit
        self._clients = clients
        self._contents = contents

    def handler(self) -> grpc.GenericRpcHandler:
        """What a server is to be offered."""
        # grpc's stubs know the blocking flavour of handlers only.
        fetch: Any = self._fetch
        stream: Any = self._stream
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "FetchClientStatus": grpc.unary_unary_rpc_method_handler(fetch),
                "StreamClientStatus": grpc.stream_stream_rpc_method_handler(stream),
            },
        )

    async def _fetch(self, raw: bytes, context: Context) -> bytes:
        async with _refusing(context):
            with self._visit(context) as peer:
                return await self._status(raw, peer)

    async def _stream(self, _: object, context: Context) -> None:
        async with _refusing(context):
            with self._visit(context) as peer:
                self._clients(peer)  # who may not ask may not stay
                while (raw := await _in_time(read_request(context))) is not None:
                    await _in_time(context.write(await self._status(raw, peer)))

    async def _status(self, raw: bytes, peer: Peer) -> bytes:
        allowed = self._clients(peer)
        request = pb.ClientStatusRequest.FromString(raw)
        wanted = matching(request, allowed)
        if len(wanted) > MOST:
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{len(wanted)} streams match, and an answer has at most {MOST}: narrow it by "
                "node_matchers",
            )
        contents = _nothing if request.exclude_resource_contents else self._contents
        response = pb.ClientStatusResponse()
        for client in wanted:
            response.config.append(client_config(client, contents))
            await asyncio.sleep(0)  # streams have their turn
        return response.SerializeToString()


@asynccontextmanager
async def _refusing(context: Context) -> AsyncGenerator[None]:
    """Ends a call with what is wrong with it."""
    try:
        yield
    except (MatchError, DecodeError) as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except Refused as refused:
        await context.abort(refused.code, refused.message)
    except LimitError as error:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
    except TimeoutError:
        text = f"the peer was silent for {SILENCE:g} s: ask again on another stream"
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, text)


async def _in_time(awaited: Awaitable[T]) -> T:
    """Raises TimeoutError where the peer neither asks nor reads."""
    async with asyncio.timeout(SILENCE):
        return await awaited


def _nothing(_: Resource) -> None:
    return None
