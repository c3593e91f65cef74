"""Changes in, snapshots out: what leaves at once, what waits, and what is compiled how often."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from meltemi.controller.holdoff import HoldOff
from meltemi.controller.loop import Loop
from meltemi.controller.store.objects import Decoded, Identity, Slice, SliceEndpoint, Upsert
from meltemi.controller.store.store import Store
from meltemi.controller.store.turnover import Turnover
from meltemi.protocols.compiler import Compiler
from meltemi.xds.resource import CLUSTER, ENDPOINT, Key
from tests import make

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meltemi.controller.store.objects import Value
    from meltemi.protocols.group import Group

FOREVER = 3600.0
PATIENCE_S = 20.0
GROUP = make.group()


def upsert(kind: str, name: str, *values: Value) -> Upsert:
    return Upsert(Decoded(Identity("", kind, "default", name), values))


def service(name: str) -> Upsert:
    return upsert("Service", name, make.service(name))


def endpoints(name: str, number: int) -> Upsert:
    [port] = make.service(name).ports
    address = (SliceEndpoint(f"10.0.0.{number}"),)
    return upsert("EndpointSlice", name, Slice("default", name, {port.name: port.number}, address))


class Rig:
    """A loop whose hold-off lasts for ever, and what it published."""

    def __init__(self) -> None:
        self.published: list[frozenset[Key]] = []
        self.rounds = 0
        self._settled = asyncio.Event()
        store = Store()
        turnover = Turnover(store.mesh.endpoints, hold=0)
        compiler = Compiler(make.registry(), replace(store.mesh, endpoints=turnover))
        self.loop = Loop(
            store,
            compiler,
            self._publish,
            self._settle,
            turnover,
            HoldOff(FOREVER, FOREVER),
            lambda _compiling, _publishing: None,
        )

    def _publish(self, group: Group) -> None:
        self.published.append(group.take_changed())

    def _settle(self) -> None:
        self.rounds += 1
        self._settled.set()

    async def after(self, *changes: Upsert) -> frozenset[Key]:
        """What was published in the round that these changes caused."""
        self._settled.clear()
        before = len(self.published)
        self.loop.submit(changes)
        async with asyncio.timeout(PATIENCE_S):
            await self._settled.wait()
        return frozenset[Key]().union(*self.published[before:])

    def clusters(self) -> set[str]:
        """The services whose clusters were published."""
        keys = frozenset[Key]().union(*self.published)
        return {key.name.split("|")[3] for key in keys if key.type_url == CLUSTER}


@asynccontextmanager
async def running() -> AsyncGenerator[Rig]:
    """A loop with one group, which has a service."""
    rig = Rig()
    task = asyncio.create_task(rig.loop.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await rig.loop.open(GROUP)
        yield rig
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_storm_leaves_at_once_with_its_first_change_and_the_rest_is_one_compile() -> None:
    async with running() as rig:
        assert rig.published == []
        await rig.after(service("first"))
        assert rig.clusters() == {make.host("first")}
        rounds = rig.rounds
        for number in range(50):
            rig.loop.submit([service(f"s{number}")])
            await asyncio.sleep(0)
        assert (len(rig.published), rig.rounds) == (1, rounds)
        await rig.loop.flush()
        assert (len(rig.published), rig.rounds) == (2, rounds + 1)
        assert len(rig.clusters()) == 51


async def test_endpoints_do_not_wait_behind_a_storm() -> None:
    async with running() as rig:
        await rig.after(service("first"), endpoints("first", 1))
        rig.loop.submit([service("held")])
        changed = await rig.after(endpoints("first", 2))
        assert {key.type_url for key in changed} == {ENDPOINT}
        assert rig.clusters() == {make.host("first")}


async def test_a_new_group_has_everything_and_so_have_the_others_from_then_on() -> None:
    async with running() as rig:
        await rig.after(service("first"))
        rig.loop.submit([service("held")])
        async with asyncio.timeout(PATIENCE_S):
            group = await rig.loop.open(make.group(namespace="other"))
        hosts = {name.split("|")[3] for name in group.snapshot.of_type(CLUSTER)}
        assert hosts == rig.clusters() == {make.host("first"), make.host("held")}


async def test_flushing_a_loop_that_has_ended_ends() -> None:
    async with running() as rig:
        await rig.after(service("first"))
    async with asyncio.timeout(PATIENCE_S):
        await rig.loop.flush()


async def test_a_loop_that_ends_lets_go_of_who_waits_for_it() -> None:
    async with running() as rig:
        flushing = asyncio.create_task(rig.loop.flush())
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await flushing


async def test_what_is_published_is_as_old_as_its_oldest_change() -> None:
    async with running() as rig:
        before = monotonic()
        await rig.after(service("first"))
        assert rig.loop.arrived is not None
        assert before <= rig.loop.arrived <= monotonic()
        rig.loop.submit([service("held")])
        after = monotonic()
        await rig.after(service("first"), endpoints("first", 1))
        assert rig.loop.held > 0
        await rig.loop.flush()
        assert rig.loop.arrived <= after
        assert rig.loop.held == 0


async def test_endpoints_that_overtake_held_changes_are_as_old_as_themselves() -> None:
    async with running() as rig:
        await rig.after(service("first"), endpoints("first", 1))
        rig.loop.submit([service("held")])
        while not rig.loop.held:  # noqa: ASYNC110  # a round that holds everything tells nobody
            await asyncio.sleep(0)
        between = monotonic()
        await rig.after(endpoints("first", 2))
        assert rig.loop.arrived is not None
        assert rig.loop.arrived >= between
        await rig.loop.flush()
        assert rig.loop.arrived < between
