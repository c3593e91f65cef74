"""How often Python looks for garbage in cycles."""

from __future__ import annotations

import gc

THRESHOLDS = 20_000, 20, 20
"""Python's own are 700, 10, 10. A thousand streams are some 100,000 objects that live long and form
no garbage: to look through them again and again is a tenth of the CPU of a change for all.
"""


def seldom() -> None:
    """Look seldom, and never at what is there now: for a process that has loaded what it needs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
