"""Changes under traffic, for every Envoy and every way to speak to it: ``make churn``.

Each cell of the matrix is a process of its own. Without a filter the result becomes a page of the
documentation. Ends with 1 if any cell is not good.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from tests.churn.cell import Cell, Result, run
from tests.churn.controls import CONTROLS
from tests.churn.page import HEADER, PAGE, page, row, this_commit

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSIONS = ("1.36.4", "1.37.0", "1.38.3", "1.39.3", "1.40.0")
DIALECTS = ("sotw", "delta")
MUXES = ("legacy", "unified")
CHANGES = 1000
LOGS = Path("build/churn")


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for. ``cells``: those that a filter leaves."""

    cells: tuple[Cell, ...]
    changes: int
    seed: int
    control: str
    jobs: int
    alone: bool

    @property
    def complete(self) -> bool:
        """Whether the result tells about the whole matrix."""
        whole = len(self.cells) == len(VERSIONS) * len(DIALECTS) * len(MUXES)
        return whole and self.changes >= CHANGES and not self.control


def options(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make churn ARGS=...", description=__doc__)
    parser.add_argument("--envoy", help="versions that begin so, such as 1.40")
    parser.add_argument("--dialect", choices=DIALECTS)
    parser.add_argument("--mux", choices=MUXES)
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--control", choices=["", *sorted(CONTROLS)], default="", help="must not be good"
    )
    parser.add_argument("--jobs", type=int, default=2, help="cells side by side")
    parser.add_argument("--alone", action="store_true", help="one cell, in this process, as JSON")
    given = parser.parse_args(arguments)
    cells = tuple(
        Cell(version, dialect, mux)
        for version, dialect, mux in product(VERSIONS, DIALECTS, MUXES)
        if version.startswith(given.envoy or "")
        and given.dialect in (None, dialect)
        and given.mux in (None, mux)
    )
    return Options(cells, given.changes, given.seed, given.control, given.jobs, given.alone)


async def run_alone(wanted: Options) -> Result:
    """Run the one cell here; its logs are below ``build/churn`` until the next run."""
    (cell,) = wanted.cells
    folder = LOGS / "-".join((cell.envoy, cell.dialect, cell.mux))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return await run(cell, lambda it: it.churn(wanted.changes), wanted.seed, folder, wanted.control)


async def run_matrix(wanted: Options) -> list[Result]:
    """Run all cells, some side by side, and say what came of each."""
    turns = asyncio.Semaphore(wanted.jobs)

    async def one(cell: Cell) -> Result:
        async with turns:
            result = await _in_a_process(cell, wanted)
        _say(row(result), *result.troubles)
        return result

    _say(HEADER)
    return await asyncio.gather(*map(one, wanted.cells))


async def _in_a_process(cell: Cell, wanted: Options) -> Result:
    argv = [sys.executable, "-m", "tests.churn", "--alone", "--envoy", cell.envoy]
    argv += ["--dialect", cell.dialect, "--mux", cell.mux, "--control", wanted.control]
    argv += ["--changes", str(wanted.changes), "--seed", str(wanted.seed)]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode in (0, 1) and output:
        return Result(**json.loads(output))
    ended = f"the run ended with code {process.returncode}"
    return Result(cell.envoy, cell.dialect, cell.mux, complaints=[ended])


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def main() -> int:
    """Run what was asked for; gives the exit code."""
    wanted = options(sys.argv[1:])
    if wanted.alone:
        result = asyncio.run(run_alone(wanted))
        _say(json.dumps(asdict(result)))
        return 0 if result.good else 1
    results = asyncio.run(run_matrix(wanted))
    if wanted.complete:
        PAGE.write_text(page(results, wanted.seed, this_commit()))
    good = sum(result.good for result in results)
    _say(f"{good} of {len(results)} cells are good; their logs are in {LOGS}")
    return 0 if good == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
