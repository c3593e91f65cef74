"""Changes in, snapshots out: the one place where the mesh and the groups change."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from meltemi.protocols.model import Dirty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from meltemi.controller.objects import Change
    from meltemi.controller.store import Store
    from meltemi.protocols.compiler import Compiler
    from meltemi.protocols.group import Group, GroupKey

SLICE = 0.005
"""Seconds of compiling after which streams get their turn."""


class Loop:
    """Folds changes into the store, compiles what they touch, and hands over what came of it.

    ``published`` is called, without a pause in between, for every group whose snapshot changed,
    ``settled`` once after each round. Requests that arrive during a round wait for the next:
    changes merge, nobody queues history.
    """

    def __init__(
        self,
        store: Store,
        compiler: Compiler,
        published: Callable[[Group], None],
        settled: Callable[[], None],
    ) -> None:
        self._store = store
        self._compiler = compiler
        self._published = published
        self._settled = settled
        self._changes: list[Change] = []
        self._opening: dict[GroupKey, asyncio.Future[Group]] = {}
        self._closing: set[GroupKey] = set()
        self._wake = asyncio.Event()

    def submit(self, changes: Sequence[Change]) -> None:
        """Take in changes that belong together."""
        self._changes += changes
        self._wake.set()

    async def open(self, key: GroupKey) -> Group:
        """The group, compiled."""
        future = self._opening.get(key)
        if future is None:
            future = self._opening[key] = asyncio.get_running_loop().create_future()
            self._wake.set()
        return await asyncio.shield(future)

    def close(self, key: GroupKey) -> None:
        """Forget a group that nobody needs any more, unless it is opened again before."""
        self._closing.add(key)
        self._wake.set()

    async def run(self) -> None:
        """Rounds, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._round()

    async def _round(self) -> None:
        changes, self._changes = self._changes, []
        dirty = self._store.apply(changes) if changes else Dirty()
        await self._work(self._compiler.update(dirty))
        for group in self._compiler.groups():
            if group.changed:
                self._published(group)
        opening, self._opening = self._opening, {}
        closing, self._closing = self._closing - opening.keys(), set()
        for key in closing:
            self._compiler.close(key)
        for key, future in opening.items():
            await self._work(self._compiler.open(key))
            if not future.cancelled():
                future.set_result(self._compiler.group(key))
        self._settled()

    async def _work(self, pieces: Iterator[None]) -> None:
        started = monotonic()
        for _ in pieces:
            if monotonic() - started > SLICE:
                await asyncio.sleep(0)
                started = monotonic()
