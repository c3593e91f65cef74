"""What stands between Envoy and Meltemi and can be cut: the network."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from meltemi.testing.ports import LOOPBACK, Address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Relay:
    """Passes bytes on to ``upstream`` while it is whole. ``address``: where it listens."""

    def __init__(self, upstream: Address) -> None:
        self.address = Address(LOOPBACK, 0)
        self._upstream = upstream
        self._whole = True
        self._open: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Relay while the context lasts."""
        async with await asyncio.start_server(self._serve, LOOPBACK, 0) as server:
            self.address = Address(*server.sockets[0].getsockname())
            yield
            self.cut()

    def cut(self) -> None:
        """End every connection at once, and every new one too."""
        self._whole = False
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        """From now on connections are passed on again."""
        self._whole = True

    def turn(self, upstream: Address) -> None:
        """From now on pass on to another one: every connection ends, and may come again."""
        self._upstream = upstream
        self.cut()
        self.mend()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self._whole:
                await self._pass_on(reader, writer)
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far = await asyncio.open_connection(*_pair(self._upstream))
        except OSError:
            return  # Meltemi is down
        self._open.add(far)
        ways = (_copy(reader, far), _copy(far_reader, writer))
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._open.discard(far)
            far.transport.abort()


def _pair(address: Address) -> tuple[str, int]:
    return address.host, address.port


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
