"""A source that follows a real API server, and what it has told so far."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.state import State
from meltemi.controller.sources import Synced
from meltemi.controller.sources.kube import KubeSource
from meltemi.controller.store.objects import RESOURCE, Delete, Invalid, identity_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from kubernetes.aio.client import Configuration

    from meltemi.controller.kube.kinds import Kind
    from meltemi.controller.kube.reflector import Reflector
    from meltemi.controller.store.objects import Change
    from meltemi.protocols.problem import Problem

PATIENCE_S = 60.0


class Following:
    """``told`` is every change in order, by ``kind/name``; ``deleted`` are those of deletions.
    ``wrong`` is what is wrong now with reading objects, by what the API server calls them.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.deleted: list[str] = []
        self.changes: list[Change] = []
        self.wrong: dict[str, Problem] = {}
        self.synced = False
        self._reflectors: dict[str, Reflector] = {}
        self._news = asyncio.Event()

    def changed(self, reflector: Reflector) -> None:
        self._reflectors[reflector.kind.plural] = reflector
        self._news.set()

    async def run(self, source: KubeSource) -> None:
        async for event in source.events():
            if isinstance(event, Synced):
                self.synced = True
            else:
                for change in event:
                    self._take(change)
            self._news.set()

    def _take(self, change: Change) -> None:
        identity = identity_of(change)
        if identity.kind == RESOURCE:
            self.wrong.pop(identity.name, None)
            if isinstance(change, Invalid):
                (self.wrong[identity.name],) = change.problems
            return
        name = f"{identity.kind}/{identity.name}"
        if name == "Service/kubernetes":  # every cluster has it
            return
        assert not isinstance(change, Invalid), change
        (self.deleted if isinstance(change, Delete) else self.told).append(name)
        self.changes.append(change)

    async def until(self, holds: Callable[[Following], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds(self):
                self._news.clear()
                await self._news.wait()

    async def hears(self, name: str, times: int = 1) -> None:
        """Until it has been told of this object so many times."""
        await self.until(lambda self: self.told.count(name) >= times)

    def state(self, plural: str) -> State:
        """How the reflector of a kind fares."""
        reflector = self._reflectors.get(plural)
        return State.STARTING if reflector is None else reflector.state

    def reason(self, plural: str) -> str:
        return self._reflectors[plural].reason


@asynccontextmanager
async def following(
    connect: Callable[[], Awaitable[Configuration]],
    *,
    kinds: Sequence[Kind] = WATCHED,
    namespaces: Sequence[str] = (),
    selector: str = "",
    idle: float = 75.0,
) -> AsyncGenerator[Following]:
    """A source under way, synced or not."""
    followed = Following()
    source = KubeSource(
        connect,
        kinds=kinds,
        namespaces=namespaces,
        selector=selector,
        idle=idle,
        changed=followed.changed,
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(followed.run(source))
        try:
            yield followed
        finally:
            running.cancel()
