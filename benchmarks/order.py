"""What make before break costs, and what it spares: ``python -m benchmarks.order``.

A route moves from v1 to v2, which has a cluster already, then to v3, whose cluster comes with it
while that of v1 goes, then back to v1, whose new cluster has an endpoint on which no connection
opens. Milliseconds from the save to the first answer from there on an open connection, and failed
calls of all calls until long after it, on 8 open connections and on new ones; beside the same with
one mechanism left out. A real Envoy, ``meltemi serve``.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.load import Load
from meltemi.testing.ports import unanswered_address
from tests.churn.traffic import anew
from tests.envoy.naive import naive
from tests.envoy.rig import SPEECHES, route, staged

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from meltemi.testing.report import Report
    from tests.envoy.rig import Stage

AFTERWARDS = 400
"""Calls on open connections, at 400 a second, that still count after the first changed answer."""

SERVED: Mapping[str, Callable[[Path], MeltemiProcess]] = {
    "Meltemi": MeltemiProcess,
    "routes do not wait": naive("without-gating"),
    "clusters go at once": naive("without-linger"),
    "both": naive("without-order"),
}


@dataclass(frozen=True, slots=True)
class Move:
    """One change: how long it took to show, and what calls came to meanwhile."""

    ms: float
    reports: tuple[Report, Report]

    def __str__(self) -> str:
        failed = sum(report.failed for report in self.reports)
        calls = sum(len(report.calls) for report in self.reports)
        return f"{self.ms:.0f} ms; {failed} of {calls}"


async def moves(protocol: str, serve: Callable[[Path], MeltemiProcess]) -> list[Move]:
    """The three moves on a stage of their own."""
    async with staged_twice(protocol, serve) as (stage, new):

        async def move(to: str, *subsets: str) -> Move:
            await stage.load.more(AFTERWARDS)
            stage.load.take()
            new.take()
            began = stage.load.now()
            stage.save_rules(route(**{to: 100}), subsets_of=subsets)
            await stage.answered_by(to)
            took = stage.load.now() - began
            await stage.load.more(AFTERWARDS)
            return Move(took * 1000, (stage.load.report(), new.report()))

        seen = [await move("v2", "v1", "v2"), await move("v3", "v2", "v3")]
        with unanswered_address() as nobody:
            stage.endpoints["v1.dead"] = nobody
            stage.save_endpoints()
            known = f"cluster.{stage.cluster()}.membership_total"
            await stage.until_stat(known, lambda now: now == len(stage.endpoints))
            return [*seen, await move("v1", "v1", "v3")]


@asynccontextmanager
async def staged_twice(
    protocol: str, serve: Callable[[Path], MeltemiProcess]
) -> AsyncGenerator[tuple[Stage, Load]]:
    """Calls to v1 on open connections, and on new ones."""
    with tempfile.TemporaryDirectory(prefix="meltemi-order-") as folder:
        async with staged(
            Path(folder),
            protocol,
            route(v1=100),
            names=("v1", "v2", "v3"),
            serve=serve,
            drain_s=1,
        ) as stage:
            connect = SPEECHES[protocol].caller(stage.address, "hello")
            async with Load(anew(connect), connections=4, rate=100) as new:
                yield stage, new


async def main() -> None:
    print("| | | a cluster that is there | a new cluster | a new cluster with a black hole |")
    print("|---|---|---|---|---|")
    for protocol in SPEECHES:
        for name, serve in SERVED.items():
            cells = " | ".join(map(str, await moves(protocol, serve)))
            print(f"| {protocol} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
