"""How fast something may go on: a token bucket that says how long to wait."""

from __future__ import annotations

BURST = 5.0
"""Seconds of the rate that may come at once."""


class TokenBucket:
    """``rate`` per second, and after quiet a burst. Time is a parameter, in seconds.

    It never refuses: who is too fast is told how long to wait, and waits by not being read.
    """

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = rate * BURST
        self._at = now

    def spend(self, cost: float, now: float) -> float:
        """Take what something costs; gives the seconds to wait before the next."""
        self._left = min(self._rate * BURST, self._left + (now - self._at) * self._rate) - cost
        self._at = now
        return max(0.0, -self._left / self._rate)
