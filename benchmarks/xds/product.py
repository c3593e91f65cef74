"""The whole product in a process: rules from memory, decoded, compiled and served."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.decode import decode
from meltemi.controller.plane import ControlPlane
from meltemi.controller.settings import Settings
from meltemi.controller.sources import Synced
from meltemi.controller.store.objects import Upsert
from meltemi.protocols.registry import load

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping

    from meltemi.controller.sources import Event, Followed, Place
    from meltemi.controller.store.objects import Change
    from meltemi.protocols.problem import Problem


class Memory:
    """A source of objects that somebody puts there. ``read``: what was there at first is served."""

    def __init__(self, objects: Iterable[Mapping[str, Any]]) -> None:
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._events.put_nowait(tuple(map(_change, objects)))
        self._events.put_nowait(Synced())
        self.read = asyncio.Event()

    def put(self, written: Mapping[str, Any]) -> None:
        """An object is now this."""
        self._events.put_nowait((_change(written),))

    async def events(self) -> AsyncIterator[Event]:
        """As ``Source`` says."""
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Synced):  # whoever comes back has dealt with it
                self.read.set()

    def place(self, problem: Problem) -> Place | None:
        """Nowhere."""
        return None

    def followed(self) -> tuple[Followed, ...]:
        """No kinds."""
        return ()


class Product:
    """A control plane as ``meltemi serve`` runs it."""

    def __init__(self, objects: Iterable[Mapping[str, Any]]) -> None:
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        self._memory = Memory(objects)
        self._plane = ControlPlane(load(), self._memory, Settings())

    def publish(self, written: Mapping[str, Any]) -> None:
        """Somebody writes an object."""
        self._memory.put(written)

    @asynccontextmanager
    async def serve(self, address: str) -> AsyncGenerator[int]:
        """Listen on ``host:port`` while the context lasts; gives the port once it is ready."""
        async with self._plane.running(address) as port:
            await self._memory.read.wait()
            yield port


def _change(written: Mapping[str, Any]) -> Change:
    outcome = decode(written)
    if not isinstance(outcome, Upsert):
        raise TypeError(f"the benchmark wrote something wrong: {outcome}")
    return outcome
