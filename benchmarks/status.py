"""What it costs to know what is live: ``python -m benchmarks.status [PROXIES RULES]``.

Simulated proxies of one group, in this process and without sockets, accept whatever they are sent
at once; somebody reads the statuses that may have changed 20 times a second, as the writer of a
cluster does. CPU from a changed rule until its status says that the last proxy has accepted it, CPU
of a quiet second, and memory; beside the same run of a control plane that keeps no statuses. Each
run is a process of its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tracemalloc
from pathlib import Path
from time import monotonic, perf_counter, process_time
from typing import TYPE_CHECKING, Any

import structlog

import meltemi.controller
from benchmarks.xds.product import Memory
from benchmarks.xds.rules import Rules
from meltemi.controller import collector
from meltemi.controller.plane import ControlPlane
from meltemi.controller.settings import Settings
from meltemi.controller.statuses.board import StatusBoard
from meltemi.controller.statuses.conditions import Type
from meltemi.controller.store.objects import Identity
from meltemi.protocols.registry import load
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER
from meltemi.xds.response_cache import ResponseCache
from tests.simulated import PEER, TYPES, Proxy, node

if TYPE_CHECKING:
    from collections.abc import Sequence

PROXIES, RULES, ROUNDS = 10_000, 1_000, 10
GATHERING_S = 0.05
QUIET_S = 3.0
TRACED = 1_000
"""Proxies of the run whose allocations are counted: that takes long."""

OURS = ("epochs.py", "needs.py", "status_board.py", "tally.py")


class Rig:
    """A control plane and its proxies. ``tells``: it keeps statuses."""

    def __init__(self, rules: int, *, tells: bool) -> None:
        structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
        collector.seldom()  # as ``meltemi serve`` does
        if not tells:
            _keep_no_statuses()
        self.tells = tells
        self.rules = Rules(rules)
        self.memory = Memory(self.rules.objects())
        self.plane = ControlPlane(load(), self.memory, Settings())
        self.proxies: list[Proxy] = []
        self.reading = 0.0

    async def connect(self, count: int) -> float:
        """CPU in seconds until these proxies have everything."""
        began, cache = process_time(), ResponseCache()
        described = node("edge")
        group = await self.plane.join(described, PEER)
        routes = [each.type_url for each in TYPES if each.gated and each.type_url != LISTENER]
        for number in range(count):
            proxy = Proxy(self.plane, number, node(f"edge-{number}"), group, cache)
            self.proxies.append(proxy)
            for type_url in (CLUSTER, ENDPOINT, LISTENER, *routes):
                proxy.ask(type_url, "*")
                _accept(proxy)
            if not number % 100:
                await asyncio.sleep(0)
        return process_time() - began

    async def change(self, written: dict[str, Any]) -> tuple[float, float]:
        """Seconds of CPU, and of the clock, until all have accepted it and the status says so."""
        name = written["metadata"]["name"]
        identity = Identity("metaprotocol.aeraki.io", "MetaRouter", "default", name)
        began, clock = process_time(), perf_counter()
        self.memory.put(written)
        accepted = 0
        while accepted < len(self.proxies):
            await asyncio.sleep(0)
            for proxy in self.proxies:
                if proxy.wake.is_set():
                    proxy.wake.clear()
                    accepted += _accept(proxy)
        assert not self.tells or self._programmed(identity)
        return process_time() - began, perf_counter() - clock

    def _programmed(self, identity: Identity) -> bool:
        found = self.plane.statuses.current(identity)
        conditions = found.conditions if found else ()
        return any(each.type == Type.PROGRAMMED and each.status == "True" for each in conditions)

    async def read(self) -> None:
        """Look at the statuses that may have changed, for ever."""
        watch = self.plane.statuses.watch()
        while self.tells:
            await watch.wait()
            began = perf_counter()
            for identity in watch.take():
                self.plane.statuses.current(identity)
            self.reading += perf_counter() - began
            await asyncio.sleep(GATHERING_S)


def _accept(proxy: Proxy) -> int:
    """Accept what is due; whether there was something."""
    proxy.now = monotonic()
    return bool(proxy.swallow())


def _keep_no_statuses() -> None:
    def nothing(*_: object, **__: object) -> None:
        pass

    for name in ("published", "settled", "joined", "said", "closed", "found"):
        setattr(StatusBoard, name, nothing)


async def _measure(proxies: int, rules: int, *, tells: bool) -> dict[str, float]:
    rig = Rig(rules, tells=tells)
    async with rig.plane.running("127.0.0.1:0"):
        await rig.memory.read.wait()
        reading = asyncio.create_task(rig.read())
        connecting = await rig.connect(proxies)
        changes: list[tuple[float, float]] = []
        for number in range(ROUNDS):
            await asyncio.sleep(0.3)
            changes.append(await rig.change(rig.rules.route(number * 7 + 1)))
        await asyncio.sleep(0.3)
        gc.collect()
        began = process_time()
        await asyncio.sleep(QUIET_S)
        idle = (process_time() - began) / QUIET_S
        began = process_time()
        for identity in rig.plane.statuses:
            rig.plane.statuses.current(identity)
        every = process_time() - began
        reading.cancel()
    return {
        "connect_us": connecting / proxies * 1e6,
        "change_ms": statistics.median(cpu for cpu, _ in changes) * 1e3,
        "change_clock_ms": statistics.median(clock for _, clock in changes) * 1e3,
        "idle_ms": idle * 1e3,
        "every_ms": every * 1e3,
        "rss_mib": _resident(),
    }


async def _trace(rules: int) -> float:
    """Bytes for each proxy that the modules of the statuses keep."""
    rig = Rig(rules, tells=True)
    async with rig.plane.running("127.0.0.1:0"):
        await rig.memory.read.wait()
        tracemalloc.start()
        before = _allocated()
        await rig.connect(TRACED)
        rig.plane.statuses.watch().take()
        gc.collect()
        return (_allocated() - before) / TRACED


def _allocated() -> int:
    folder = Path(meltemi.controller.__file__).parent.resolve()
    filters = [tracemalloc.Filter(True, str(folder / name)) for name in OURS]
    filters += [tracemalloc.Filter(True, f"*/controller/{name}") for name in OURS]
    snapshot = tracemalloc.take_snapshot().filter_traces(filters)
    return sum(each.size for each in snapshot.statistics("filename"))


def _resident() -> float:
    words = Path("/proc/self/statm").read_text().split()
    return int(words[1]) * 4096 / 1024**2


def _child(*args: object) -> Any:
    argv = [sys.executable, "-m", "benchmarks.status", *map(str, args)]
    return json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)


def _report(proxies: int, rules: int) -> None:
    with_, without = (_child("run", proxies, rules, tells) for tells in (1, 0))
    rows = {
        "connect, CPU for each proxy, µs": "connect_us",
        "one rule changes until Programmed, CPU, ms": "change_ms",
        "the same by the clock, ms": "change_clock_ms",
        "a quiet second, CPU, ms": "idle_ms",
        "resident memory, MiB": "rss_mib",
    }
    print(f"{proxies} proxies, {rules} rules\n")
    print("| | with statuses | without | ratio |\n|---|--:|--:|--:|")
    for title, key in rows.items():
        ratio = with_[key] / without[key] if without[key] else float("nan")
        print(f"| {title} | {with_[key]:.1f} | {without[key]:.1f} | {ratio:.2f} |")
    print(f"\nall statuses anew: {with_['every_ms']:.0f} ms")
    print(f"kept for a proxy that has everything: {_child('trace', rules):.0f} bytes")


def main(args: Sequence[str]) -> None:
    """Report, or one run of it in a process of its own."""
    match args:
        case ["run", proxies, rules, tells]:
            measured = asyncio.run(_measure(int(proxies), int(rules), tells=tells == "1"))
            print(json.dumps(measured))
        case ["trace", rules]:
            print(json.dumps(asyncio.run(_trace(int(rules)))))
        case [proxies, rules]:
            _report(int(proxies), int(rules))
        case _:
            _report(PROXIES, RULES)


if __name__ == "__main__":
    main(sys.argv[1:])
