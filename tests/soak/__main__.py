"""``make soak``: 6,000 proxies come and go, and the server must keep nothing of them.

Prints a table, writes it into docs/limits.md with ``--write``, and fails where something grew.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.soak.run import ROOT, Health, kept, soak, trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = ROOT / "docs/limits.md"
BEGIN, END = "<!-- soak: written by `make soak ARGS=--write` -->\n", "<!-- /soak -->\n"
SAMPLES = 10
MOST = 1000.0
"""Bytes for each reconnect that the allocator's noise may look like."""


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--reconnects", type=int, default=6000)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as rules:
        found = asyncio.run(soak(Path(rules), arguments.reconnects, SAMPLES))
    text = table(found, time.monotonic() - began)
    sys.stdout.write(text)
    if arguments.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}")
    wrong = trouble(found, MOST)
    sys.stdout.write("".join(f"grew: {each}\n" for each in wrong))
    return 1 if wrong else 0


def table(found: Sequence[Health], seconds: float) -> str:
    """The figures as Markdown, with where and when they are from."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    head = (
        f"{found[-1].reconnects} reconnects in {seconds:.0f} s, commit {commit}, "
        f"{datetime.now(UTC):%Y-%m-%d}: {kept(found):+.0f} bytes for each reconnect in the "
        "second half.\n\n| reconnects | tasks | descriptors | resident MB |\n|--:|--:|--:|--:|\n"
    )
    rows = (
        f"| {each.reconnects} | {each.tasks} | {each.descriptors} | {each.bytes / 1e6:.1f} |\n"
        for each in found
    )
    return head + "".join(rows)


if __name__ == "__main__":
    sys.exit(main())
