"""Changes in, snapshots out: the one place where the mesh and the groups change."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from meltemi.protocols.model import Dirty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from meltemi.controller.holdoff import HoldOff
    from meltemi.controller.store.objects import Change
    from meltemi.controller.store.store import Store
    from meltemi.controller.store.turnover import Turnover
    from meltemi.protocols.compiler import Compiler
    from meltemi.protocols.group import Group, GroupKey

SLICE = 0.005
"""Seconds of compiling after which streams get their turn."""


class Loop:
    """Folds changes into the store, compiles what they touch, and hands over what came of it.

    ``published`` is called, without a pause in between, for every group whose snapshot changed,
    ``settled`` once after each round. Requests that arrive during a round wait for the next:
    changes merge, nobody queues history. ``turnover``: the endpoints that the compiler reads;
    ``hold_off``: which changes wait for more of their kind. ``timed`` hears how many seconds
    compiling and publishing took in a round that had something to compile.
    """

    def __init__(
        self,
        store: Store,
        compiler: Compiler,
        published: Callable[[Group], None],
        settled: Callable[[], None],
        turnover: Turnover,
        hold_off: HoldOff,
        timed: Callable[[float, float], None],
    ) -> None:
        self._store = store
        self._turnover = turnover
        self._compiler = compiler
        self._published = published
        self._settled = settled
        self._hold_off = hold_off
        self._timed = timed
        self._came: float | None = None
        self._held_since: float | None = None
        self._arrived: float | None = None
        self._batches: list[Sequence[Change]] = []
        self._opening: dict[GroupKey, asyncio.Future[Group]] = {}
        self._closing: set[GroupKey] = set()
        self._wake = asyncio.Event()
        self._running = False
        self._flushing: asyncio.Future[None] | None = None

    def submit(self, changes: Sequence[Change]) -> None:
        """Take in changes that belong together."""
        self._batches.append(changes)
        if self._came is None:
            self._came = monotonic()
        self._wake.set()

    @property
    def arrived(self) -> float | None:
        """When the oldest of the changes came that are being published; None if there are none."""
        return self._arrived

    @property
    def held(self) -> int:
        """How many hosts, secrets and applications wait for quiet."""
        return self._hold_off.held

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

    async def flush(self) -> None:
        """Until everything that was submitted before has been published, or it runs no more."""
        if self._running and self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_future()
            self._wake.set()
        if self._flushing is not None:
            await asyncio.shield(self._flushing)

    async def run(self) -> None:
        """Rounds, for ever."""
        self._running = True
        try:
            while True:
                await self._due()
                self._wake.clear()
                flushing = self._flushing
                await self._round()
                if flushing is not None:
                    self._flushed()
        finally:
            self._running = False
            self._flushed()

    def _flushed(self) -> None:
        if self._flushing is not None and not self._flushing.done():
            self._flushing.set_result(None)
        self._flushing = None

    async def _due(self) -> None:
        """Until something was asked for, or what was held or hosts that were leaving must go."""
        deadlines = (self._turnover.deadline(), self._hold_off.deadline())
        deadline = min((each for each in deadlines if each is not None), default=None)
        delay = None if deadline is None else max(0.0, deadline - monotonic())
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _round(self) -> None:
        now = monotonic()
        batches, self._batches = self._batches, []
        for changes in batches:
            self._hold_off.take(self._store.apply(changes), now)
        # A new group is compiled of all that there is: nothing of it may be missing elsewhere.
        everything = bool(self._opening) or self._flushing is not None
        dirty = self._hold_off.release(now, everything=everything)
        self._note_arrival()
        self._turnover.update(self._services(dirty.hosts | dirty.endpoints), now)
        dirty |= Dirty(endpoints=self._turnover.expire(now))
        if self._hold_off.deadline() is not None and not (dirty or self._closing):
            return  # what is wrong is told together with what was held
        compiling = monotonic()
        await self._work(self._compiler.update(dirty))
        publishing = monotonic()
        for group in self._compiler.groups():
            if group.changed:
                self._published(group)
        if dirty:
            self._timed(publishing - compiling, monotonic() - publishing)
        opening, self._opening = self._opening, {}
        closing, self._closing = self._closing - opening.keys(), set()
        for key in closing:
            self._compiler.close(key)
        for key, future in opening.items():
            await self._work(self._compiler.open(key))
            if not future.cancelled():
                future.set_result(self._compiler.group(key))
        self._settled()

    def _note_arrival(self) -> None:
        """Some of the changes are released; of those that are held the first is remembered."""
        came, self._came = self._came, None
        if self._hold_off.deadline() is not None:
            self._arrived = came
            self._held_since = came if self._held_since is None else self._held_since
        else:
            self._arrived = came if self._held_since is None else self._held_since
            self._held_since = None

    def _services(self, hosts: Iterable[str]) -> Iterator[tuple[str, str]]:
        for host in hosts:
            for service in self._store.mesh.services.get(host, ()):
                yield service.namespace, host

    async def _work(self, pieces: Iterator[None]) -> None:
        started = monotonic()
        for _ in pieces:
            if monotonic() - started > SLICE:
                await asyncio.sleep(0)
                started = monotonic()
