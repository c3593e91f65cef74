"""Measure the xDS server, the floor under it, and its peers where Go is there.

``python -m benchmarks.xds`` prints tables; ``--write`` puts them into docs/performance.md;
``--only`` chooses cases.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from benchmarks.xds import cases
from benchmarks.xds.cases import Extent
from benchmarks.xds.child import ROOT
from benchmarks.xds.rig import PEERS, peers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from benchmarks.xds.table import Table

PAGE = ROOT / "docs" / "performance.md"
BEGIN = "<!-- what follows was written by python -m benchmarks.xds --write -->\n"
END = "<!-- end -->\n"

CASES: Mapping[str, Callable[[Extent], Iterator[Table]]] = {
    "product": cases.product,
    "fan-out": cases.fan_out,
    "groups": cases.scopes,
    "idle": cases.idle,
    "silence": cases.silence,
}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", choices=list(CASES), help="a case; may repeat")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--require-peers", action="store_true", help="fail without them")
    parser.add_argument("--quick", action="store_true", help="tiny numbers, to see that it works")
    flags = parser.parse_args()
    if peers() is None:
        sys.stderr.write("no peers: Go is not there, or could not get go-control-plane\n")
        if flags.require_peers:
            sys.exit(1)
    began = monotonic()
    parts = [environment()]
    for name in flags.only or CASES:
        for table in CASES[name](cases.QUICK if flags.quick else Extent()):
            parts.append(table.markdown())
            print(parts[-1], f"\n{monotonic() - began:.0f} s", flush=True)
            if flags.write:
                write("\n".join(parts))


def write(text: str) -> None:
    """Replace the generated part of the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def environment() -> str:
    """When, where and with what."""
    model = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    cores = Path("/proc/cpuinfo").read_text().count("model name")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    facts = (
        f"`make bench-xds`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit}",
        f"{cores} cores ({model}), load {os.getloadavg()[0]:.1f} at the start",
        f"Python {platform.python_version()}, grpcio {version('grpcio')}",
        f"uvloop {version('uvloop')}",
        f"go-control-plane {_required('go-control-plane ')}, grpc-go {_required('grpc ')}",
    )
    return "; ".join(facts) + ".\n"


def _required(module: str) -> str:
    text = (PEERS / "go.mod").read_text()
    return next(line.split()[1] for line in text.splitlines() if module in line)


if __name__ == "__main__":
    main()
