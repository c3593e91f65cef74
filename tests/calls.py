"""Calls that had to succeed, as tests count them: ``record_property(ON_OLD, 1200)``."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ON_OLD = "calls on connections that stay"
ON_NEW = "calls on new connections"


def totals(properties: Iterable[tuple[str, object]]) -> str:
    """A line for the summary of a run: how many there were of each kind; empty for none."""
    counted = Counter[str]()
    for name, value in properties:
        if name in (ON_OLD, ON_NEW) and isinstance(value, int):
            counted[name] += value
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counted.items()))
