"""One cell of the matrix: an Envoy, a way to speak to it, and a thousand changes under traffic."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from meltemi.testing.control_plane import MeltemiProcess
from tests.churn.changes import Care, repaired, step
from tests.churn.checks import Checks
from tests.churn.controls import program
from tests.churn.counts import Counts
from tests.churn.proxy import Proxy
from tests.churn.relay import Relay
from tests.churn.traffic import Totals, servers, traffic
from tests.churn.world import beginning, files

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from tests.churn.world import Addresses, World

BIND = f"127.{os.getpid() >> 8 & 127}.{os.getpid() & 255}.3"
"""A loopback address of this process's own: the ports of all services are free on it."""

PAUSES_S = (0.01, 0.05, 0.1)
"""Between two changes: some are merged on their way, most are not."""

BETWEEN_S = 0.5
"""Between two changes that somebody has written down."""

EVENTS = ("cut", "kill", "envoy", "terminate", "cut", "terminate", "envoy", "kill")
"""What happens besides: the network is cut, Meltemi is killed or ended, Envoy starts anew."""

CHANGES_PER_EVENT = 15
"""A run of fewer changes has no event, one of 1,000 has them all."""

DURING = 8
"""Changes during an outage."""

CAREFUL = 15
"""Changes before and after one in which no endpoint goes: nobody could bring the new one first."""

PATIENCE_S = 40.0
PATIENCE_OF_CONTROLS_S = 5.0


@dataclass(frozen=True, slots=True)
class Cell:
    """A version of Envoy, ``delta`` or ``sotw``, ``legacy`` or ``unified`` mux."""

    envoy: str
    dialect: str
    mux: str

    def __str__(self) -> str:
        return f"{self.envoy} {self.dialect} {self.mux}"

    @property
    def delta(self) -> bool:
        return self.dialect == "delta"


@dataclass(slots=True)
class Result:
    """What came of a cell. It is good when there are no ``complaints`` and no call failed."""

    envoy: str
    dialect: str
    mux: str
    changes: int = 0
    snapshots: int = 0
    responses: int = 0
    accepted: int = 0
    refused: int = 0
    events: dict[str, int] = field(default_factory=dict[str, int])
    checks: int = 0
    calls: int = 0
    on_new: int = 0
    failed: dict[str, int] = field(default_factory=dict[str, int])
    complaints: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        return not self.complaints and not self.failed and self.calls > 0

    @property
    def troubles(self) -> list[str]:
        """One line for each thing that should not be."""
        calls = [f"{count} calls failed: {why}" for why, count in self.failed.items()]
        return [*calls, *self.complaints]


class Run:
    """A cell while it runs: who writes the files, and lets things happen."""

    def __init__(
        self,
        cell: Cell,
        seed: int,
        rules: Path,
        addresses: Addresses,
        meltemi: MeltemiProcess,
        relay: Relay,
        proxy: Proxy,
        checks: Checks,
    ) -> None:
        self.result = Result(cell.envoy, cell.dialect, cell.mux)
        self.history: list[tuple[float, str]] = []
        self._delta = cell.delta
        self._chance = Random(f"{seed} {cell}")
        self._rules = rules
        self._addresses = addresses
        self._meltemi = meltemi
        self._relay = relay
        self._proxy = proxy
        self._checks = checks
        self._counts = Counts()
        self._written: dict[str, str] = {}
        self._world = beginning()
        self._save(self._world)

    async def through(self, worlds: Iterable[World]) -> None:
        """These, one after the other, from the start to the end of an Envoy."""
        await self._start_envoy()
        for world in worlds:
            await self._write("written", world, BETWEEN_S)
        await self._end()

    async def churn(self, changes: int) -> None:
        """So many random changes, with the events among them."""
        await self._start_envoy()
        events = EVENTS[: changes // CHANGES_PER_EVENT]
        gap = changes // (len(events) + 1)
        careful = min(CAREFUL, gap // 3)
        for event in events:
            await self._change(gap - 2 * careful - DURING, Care())
            await self._change(careful, Care(hosts=True))
            await self._happen(event)
            await self._change(careful, Care(hosts=True))
        await self._change(changes - self.result.changes, Care())
        await self._end()

    async def _end(self) -> None:
        await self._stop_envoy()
        await self._counts.add(self._meltemi)
        self.result.snapshots = self._counts.snapshots
        self.result.responses = self._counts.responses
        self.result.accepted = self._counts.accepted
        self.result.refused = self._counts.refused
        if self._counts.refused:
            self.result.complaints.append("Meltemi was told of refusals")

    async def _happen(self, event: str) -> None:
        if event == "envoy":
            await self._stop_envoy()
            await self._change(DURING, Care())
            await self._start_envoy()
        else:
            # A SotW stream cannot say which clusters the proxy still uses: none may linger before,
            # and none may go until the new stream has answered.
            care = Care(hosts=True, clusters=not self._delta)
            if care.clusters:
                await self._settle()
            await self._outage(event, care)
            if care.clusters:
                await self._settle()
        self.result.events[event] = self.result.events.get(event, 0) + 1

    async def _outage(self, event: str, care: Care) -> None:
        self._tell(event.upper())
        match event:
            case "cut":
                self._relay.cut()
                await self._change(DURING, care)
                self._relay.mend()
            case _:
                await self._end_meltemi(event)
                await self._change(DURING, care)
                await self._meltemi.start()
        await self._proxy.until_connected()
        self._tell("CONNECTED")

    async def _end_meltemi(self, event: str) -> None:
        await self._counts.add(self._meltemi)
        if event == "kill":
            await self._meltemi.kill()
        elif code := await self._meltemi.terminate():
            self.result.complaints.append(f"Meltemi ended with code {code} after a SIGTERM")

    async def _change(self, count: int, care: Care) -> None:
        for _ in range(count):
            name, world = step(self._world, self._chance, care)
            await self._write(name, world, self._chance.choice(PAUSES_S))

    async def _write(self, name: str, world: World, pause_s: float) -> None:
        written = [f"{file} {world.broken.get(file, '')}" for file in self._save(world)]
        self._tell(f"{name}: {', '.join(written)}")
        self.result.changes += 1
        await asyncio.sleep(pause_s)

    async def _settle(self) -> None:
        """Repair what is broken and hold Envoy against what is written."""
        self._tell("SETTLE")
        self._save(repaired(self._world))
        self.result.complaints += await self._checks.of(self._proxy.envoy, self._world)
        self.result.checks += 1

    async def _start_envoy(self) -> None:
        await self._proxy.start(self._relay.address)
        await self._settle()
        await self._proxy.open()

    async def _stop_envoy(self) -> None:
        await self._settle()
        await self._proxy.stop()

    def _save(self, world: World) -> list[str]:
        """Write what differs; the names of those files."""
        self._world = world
        texts = files(world, self._addresses)
        for name in self._written.keys() - texts.keys():
            (self._rules / name).unlink()
        changed = [name for name, text in texts.items() if self._written.get(name) != text]
        for name in changed:
            scratch = self._rules / f".{name}.new"
            scratch.write_text(texts[name])
            scratch.replace(self._rules / name)
        self._written = texts
        return changed

    def _tell(self, what: str) -> None:
        self.history.append((asyncio.get_running_loop().time(), what))


async def run(
    cell: Cell, act: Callable[[Run], Awaitable[None]], seed: int, folder: Path, control: str = ""
) -> Result:
    """Run a cell in an empty folder; ``act`` is what happens. Meltemi's log stays there, and
    ``story.txt``: what was changed when, and which calls failed when.
    """
    began = asyncio.get_running_loop().time()
    totals, rules = Totals(), folder / "rules"
    rules.mkdir()
    meltemi = MeltemiProcess(rules, folder=folder, program=program(control), host=BIND)
    relay = Relay(meltemi.xds)
    patience = PATIENCE_OF_CONTROLS_S if control else PATIENCE_S
    checks = Checks(rules, BIND, delta=cell.delta, patience_s=patience)
    proxy = Proxy(
        cell.envoy,
        BIND,
        sotw=not cell.delta,
        unified=cell.mux == "unified",
        traffic=lambda: traffic(BIND, totals),
    )
    async with AsyncExitStack() as closing:
        addresses = await closing.enter_async_context(servers())
        under_way = Run(cell, seed, rules, addresses, meltemi, relay, proxy, checks)
        await closing.enter_async_context(meltemi)
        await closing.enter_async_context(relay.running())
        await closing.enter_async_context(proxy)
        await act(under_way)
    result = under_way.result
    result.calls, result.on_new, result.failed = totals.calls, totals.on_new, dict(totals.failed)
    result.seconds = round(asyncio.get_running_loop().time() - began, 1)
    story = sorted([*under_way.history, *totals.failures])
    (folder / "story.txt").write_text("".join(f"{at - began:8.3f} {what}\n" for at, what in story))
    return result
