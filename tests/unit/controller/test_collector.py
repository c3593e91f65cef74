"""Python looks for garbage seldom, and still does."""

from __future__ import annotations

import gc
import subprocess
import sys

SCRIPT = """
import gc
from meltemi.controller import collector
collector.seldom()
assert gc.get_freeze_count() > 1000
before = gc.get_stats()[0]["collections"]
kept = [[] for _ in range(3 * collector.THRESHOLDS[0])]
assert gc.get_stats()[0]["collections"] - before == 3
"""


def test_garbage_is_looked_for_seldom_and_not_in_what_was_there_at_first() -> None:
    # In a process of its own: the whole process is changed.
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    assert gc.get_threshold()[0] == 700
