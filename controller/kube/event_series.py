"""Which Event tells something: a new one, or one more time what one has told already."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

FORGOTTEN_S = 600.0
"""Seconds after which the same is told by a new Event."""

KNOWN = 1000
"""How many Events are remembered."""


@dataclass(frozen=True, slots=True)
class Told:
    """An Event by its name, and how often it was told, this time included."""

    name: str
    count: int


class EventSeries:
    """Times in seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._told: OrderedDict[Hashable, tuple[Told, float]] = OrderedDict()

    def tell(self, what: Hashable, about: str, now: float) -> Told:
        """It is told now, about an object of that name."""
        known, since = self._told.pop(what, (None, 0.0))
        if known is None or now >= since + FORGOTTEN_S:
            told = Told(f"{about[:200].rstrip('.-')}.{token_hex(8)}", 1)
        else:
            told = Told(known.name, known.count + 1)
        self._told[what] = told, now
        while len(self._told) > KNOWN:
            self._told.popitem(last=False)
        return told

    def forget(self, what: Hashable) -> None:
        """The Event is not there any more."""
        self._told.pop(what, None)
