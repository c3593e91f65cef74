"""Who does what for the statuses of objects: the leader writes, all others report to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meltemi.controller.gauges import Share
from meltemi.controller.kube.event_writer import EventWriter
from meltemi.controller.kube.gatherer import Gatherer
from meltemi.controller.kube.publisher import Publisher
from meltemi.controller.kube.status_writer import Outcome, StatusWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meltemi.controller.crds.status import Status
    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.instance import Instance
    from meltemi.controller.kube.lease import Lease
    from meltemi.controller.kube.written import WrittenStatuses
    from meltemi.controller.statuses.board import StatusBoard
    from meltemi.controller.store.objects import Identity

GATHERING_S = 0.05
"""Seconds in which what proxies answer is taken together."""


class Statuses:
    """``board`` says what our own proxies make of each object, ``proxies`` how many there are,
    ``written`` what stands in the cluster. ``lease`` says who leads.
    """

    def __init__(
        self,
        api: Api,
        instance: Instance,
        lease: Lease,
        board: StatusBoard,
        written: WrittenStatuses,
        *,
        proxies: Callable[[], int],
    ) -> None:
        self._writes: dict[str, int] = {each.value: 0 for each in Outcome}
        self._lease = lease
        self._board = board
        self._written = written
        self._latest: dict[Identity, Status] = {}
        self._gatherer = Gatherer(api, instance, self._leads, self._reported)
        self._publisher = Publisher(
            api,
            instance,
            lambda: lease.follows,
            objects=lambda: board,
            tally=board.tally,
            proxies=proxies,
        )
        self._events = EventWriter(api, instance, self._leads)
        self._writer = StatusWriter(
            api, written, self._wanted, self._leads, told=self._events.tell, counted=self._count
        )
        written.changed = self._writer.look

    def share(self) -> Share:
        """What this replica does of the work, for metrics."""
        waiting, reports = self._writer.waiting, len(self._gatherer)
        return Share(self._lease.leads, self._writes, waiting, reports)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            for work in (self._writer, self._publisher, self._events):
                tasks.create_task(work.run())
            tasks.create_task(self._watch())
            while True:
                await self._lease.begun()
                term = tasks.create_task(self._gatherer.run(self._writer.begin))
                await self._lease.ended()
                self._writer.end()
                term.cancel()
                await asyncio.wait([term])

    async def _watch(self) -> None:
        watch = self._board.watch()
        while True:
            await watch.wait()
            await asyncio.sleep(GATHERING_S)
            for identity in watch.take():
                self._writer.look(identity)
                self._publisher.look(identity)

    def _count(self, outcome: Outcome) -> None:
        self._writes[outcome.value] += 1

    def _leads(self) -> bool:
        return self._lease.leads

    def _reported(self, identities: Iterable[Identity] | None) -> None:
        for identity in self._board if identities is None else identities:
            self._writer.look(identity)

    def _uid(self, identity: Identity) -> str:
        written = self._written.get(identity)
        return "" if written is None else written.uid

    def _wanted(self, identity: Identity) -> Status | None:
        uid = self._uid(identity)
        if uid != self._board.uid(identity):
            return None  # made anew: what we know is of another one that had its name
        others = self._gatherer.tally(identity, uid)
        found = self._board.status(identity, others, self._latest.get(identity))
        if found is None:
            self._latest.pop(identity, None)
        else:
            self._latest[identity] = found
        return found
