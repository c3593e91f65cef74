"""The real server on loopback. Time stands still unless a scenario moves it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from meltemi.xds import stream
from meltemi.xds.group import Group
from meltemi.xds.server import AGGREGATED, SERVICES, AdsServer
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status
from tests.conformance.client import FENCE_MARK, RULES, DeltaStream, SotwStream
from tests.conformance.scenario import Dialect, mutate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from meltemi.xds.peer import Peer
    from meltemi.xds.resource import Key, Resource, TypeUrl
    from meltemi.xds.session import Event
    from meltemi.xds.wire import Node
    from tests.conformance.client import Stream
    from tests.conformance.scenario import Method, Variant

START = 1000.0
"""What the clock says at first."""

DRAIN = 60.0
"""Seconds for which a cluster lingers."""


class Log(Status):
    """What the server observed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.ended = asyncio.Event()

    def said(self, stream: int, event: Event, now: float) -> bool:
        self.events.append(event)
        return super().said(stream, event, now)

    def closed(self, stream: int) -> None:
        super().closed(stream)
        self.ended.set()


class World:
    """One server with one group of proxies. ``patience``: seconds to wait for an answer."""

    def __init__(self, variant: Variant, patience: float) -> None:
        self.variant = variant
        self.patience = patience
        self.now = START
        self.status = Log()
        self.nodes: list[Node] = []
        self.group = Group(Snapshot(), drain=DRAIN)
        self.server = AdsServer(RULES, self._resolve, self.status, clock=self.clock)
        self.server.ready = True
        self.port = 0
        self.refusal: Exception | None = None
        self._unread: set[bytes] = set()
        self._progress = asyncio.Event()
        self._fences = 0
        self._stack = AsyncExitStack()

    def clock(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Time passes, for the server too."""
        self.now += seconds
        self.group.publish(self.group.snapshot, ())

    def publish(self, *resources: Resource, removed: Iterable[Key] = ()) -> None:
        """What proxies should hold changes."""
        changes: dict[Key, Resource | None] = {resource.key: resource for resource in resources}
        changes |= dict.fromkeys(removed)
        self.group.publish(self.group.snapshot.replace(changes), changes.keys())

    async def open(
        self,
        type_url: TypeUrl,
        *,
        node: str = "proxy",
        dialect: Dialect | None = None,
        aggregated: bool | None = None,
    ) -> Stream:
        """A new connection with one stream, for this type at least; as the variant says."""
        dialect = dialect or self.variant.dialect
        aggregated = self.variant.aggregated if aggregated is None else aggregated
        address = f"127.0.0.1:{self.port}"
        channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(address))
        only = "" if aggregated else type_url
        kind = SotwStream if dialect is Dialect.SOTW else DeltaStream
        return kind(self, channel, _method(dialect, only), only=only, node=node)

    async def sotw(self, type_url: TypeUrl, *, node: str = "proxy") -> SotwStream:
        """A stream for what only this dialect has."""
        opened = await self.open(type_url, node=node, dialect=Dialect.SOTW)
        assert isinstance(opened, SotwStream)
        return opened

    async def delta(self, type_url: TypeUrl, *, node: str = "proxy") -> DeltaStream:
        """A stream for what only this dialect has."""
        opened = await self.open(type_url, node=node, dialect=Dialect.DELTA)
        assert isinstance(opened, DeltaStream)
        return opened

    def next_fence(self) -> str:
        """A name that nobody has asked for."""
        self._fences += 1
        return f"{FENCE_MARK}{self._fences}"

    async def _resolve(self, node: Node, _: Peer) -> Group:
        if self.refusal is not None:
            raise self.refusal
        self.nodes.append(node)
        return self.group

    async def send(self, call: Any, raw: bytes) -> None:
        """Write a request."""
        self._unread.add(raw)
        await call.write(raw)

    async def caught_up(self) -> None:
        """Wait until the server has read all requests and written what it had to say at once."""
        async with asyncio.timeout(self.patience):
            while self._unread:
                self._progress.clear()
                await self._progress.wait()

    def note_read(self, raw: bytes) -> None:
        """The server has read a request, or never will."""
        self._unread.discard(raw)
        self._progress.set()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[World]:
        with pytest.MonkeyPatch.context() as patch:
            mutate(patch, stream.Stream, "take", self._take)
            async with self.server.serve("127.0.0.1:0") as self.port, self._stack:
                yield self

    def _take(self, original: Method, served: stream.Stream, raw: bytes) -> None:
        original(served, raw)
        self.note_read(raw)


def _method(dialect: Dialect, only: TypeUrl) -> str:
    prefix = "Stream" if dialect is Dialect.SOTW else "Delta"
    names = {type_url: name for name, type_url in SERVICES.items()}
    service, _, noun = names.get(only, f"{AGGREGATED}/AggregatedResources").partition("/")
    return f"/{service}/{prefix}{noun}"
