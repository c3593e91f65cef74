"""A server with one group over loopback, and raw clients of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from meltemi.testing.resources import RULES, cluster, endpoint, listener, route
from meltemi.testing.xds_client import Response, delta_request, read_delta, read_sotw
from meltemi.xds.group import Group
from meltemi.xds.resource import CLUSTER
from meltemi.xds.server import AGGREGATED, AdsServer, Refused
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from meltemi.xds.limits import Limits
    from meltemi.xds.peer import Peer
    from meltemi.xds.resource import Resource
    from meltemi.xds.stream import Stream
    from meltemi.xds.wire import Node

WORLD = Snapshot.of([cluster("a"), endpoint("a"), listener("l", "a"), route("r", "a")])
SOTW = f"/{AGGREGATED}/StreamAggregatedResources"
DELTA = f"/{AGGREGATED}/DeltaAggregatedResources"
PATIENCE = 20.0


class Client:
    """One stream of a client."""

    def __init__(self, channel: grpc.aio.Channel, method: str) -> None:
        self._read = read_delta if "/Delta" in method else read_sotw
        self._open: Any = channel.stream_stream(method)
        # grpc's stubs make a call generic in what the serializers would be.
        self.call: Any = self._open()

    def again(self) -> None:
        """Open another stream, on the same channel."""
        self.call = self._open()

    async def say(self, request: bytes) -> None:
        await self.call.write(request)

    async def hear(self) -> Response:
        async with asyncio.timeout(PATIENCE):
            raw = await self.call.read()
        assert raw is not grpc.aio.EOF, f"the stream has ended: {await self.call.details()}"
        return self._read(raw)

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """How the server ended the stream."""
        async with asyncio.timeout(PATIENCE):
            return await self.call.code(), await self.call.details()


class Observed(Status):
    """Tells a test when a stream has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self.closings: list[int] = []

    def closed(self, stream: int) -> None:
        super().closed(stream)
        self.closings.append(stream)
        self.ended.set()


class Rig:
    """A server with one group, and its clients."""

    def __init__(
        self, limits: Limits | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self.status = Observed()
        self.nodes: list[Node] = []
        self.emptied = asyncio.Event()
        self.group = Group(WORLD, on_empty=lambda _: self.emptied.set())
        self.turned_away: list[tuple[str, str]] = []
        self.server = AdsServer(
            RULES,
            self.resolve,
            self.status,
            limits=limits,
            turned_away=self._turned_away,
            clock=clock,
        )
        self.server.ready = True
        self.port = 0

    async def resolve(self, node: Node, _: Peer) -> Group:
        if node.id == "intruder":
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, "not you")
        self.nodes.append(node)
        return self.group

    def _turned_away(self, code: str, limit: str) -> None:
        self.turned_away.append((code, limit))

    async def joined(self, count: int) -> list[Stream]:
        """The streams, when there are so many."""
        async with asyncio.timeout(PATIENCE):
            while len(self.group) != count:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.001)
        return list(self.group)

    async def until_stopping(self) -> None:
        """Until the server has been told to stop."""
        async with asyncio.timeout(PATIENCE):
            while self.server.ready:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.001)

    async def until_waiting(self, count: int) -> None:
        """Until so many streams wait for their first configuration."""
        async with asyncio.timeout(PATIENCE):
            while self.server.waiting != count:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.001)

    def publish(self, *resources: Resource) -> None:
        changes = {resource.key: resource for resource in resources}
        self.group.publish(self.group.snapshot.replace(changes), changes.keys())

    def remove(self, *resources: Resource) -> None:
        changes = dict.fromkeys(resource.key for resource in resources)
        self.group.publish(self.group.snapshot.replace(changes), changes.keys())

    @asynccontextmanager
    async def client(self, method: str = SOTW) -> AsyncGenerator[Client]:
        options = [("grpc.max_receive_message_length", -1)]
        address = f"127.0.0.1:{self.port}"
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            yield Client(channel, method)


@asynccontextmanager
async def serving(
    limits: Limits | None = None, clock: Callable[[], float] = monotonic
) -> AsyncGenerator[Rig]:
    rig = Rig(limits, clock)
    async with rig.server.serve("127.0.0.1:0") as port:
        rig.port = port
        yield rig


async def throw(garbage: bytes, port: int) -> None:
    """Write to the port and wait until the server has hung up, politely or not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(OSError):
        try:
            writer.write(garbage)
            writer.write_eof()
            async with asyncio.timeout(PATIENCE):
                await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


async def greet(client: Client, node: str = "proxy") -> None:
    """Ask for clusters, and have them."""
    await client.say(delta_request(CLUSTER, node=node))
    assert (await client.hear()).names == ("a",)


async def still_served(rig: Rig, client: Client, nonce: str = "1") -> None:
    """A change arrives."""
    content = str(len(rig.group.snapshot.of_type(CLUSTER)) + 1)
    rig.publish(cluster("a", content=content))
    await client.say(delta_request(CLUSTER, nonce=nonce))
    assert (await client.hear()).bodies == (f"a={content}".encode(),)
