"""Keeps the log readable when a proxy repeats itself."""

from __future__ import annotations

from meltemi.xds.pace import Pace

RATE = 1.0
"""Entries a second about one stream, after a few at once."""


class Sieve:
    """Lets some of what streams say through, and counts the rest. Times in seconds."""

    def __init__(self) -> None:
        self._paces: dict[int, Pace] = {}
        self._left_out: dict[int, int] = {}

    def take(self, stream: int, now: float) -> int | None:
        """None when this is one too many; else how many were, since the last that was not."""
        pace = self._paces.setdefault(stream, Pace(RATE, now))
        if pace.spend(0, now):
            self._left_out[stream] = self._left_out.get(stream, 0) + 1
            return None
        pace.spend(1, now)
        return self._left_out.pop(stream, 0)

    def forget(self, stream: int) -> None:
        """The stream has ended."""
        self._paces.pop(stream, None)
        self._left_out.pop(stream, None)
