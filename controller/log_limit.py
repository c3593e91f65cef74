"""Keeps the log readable when a proxy repeats itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.xds.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Hashable

RATE = 1.0
"""Entries a second about one thing, after a few at once."""


class LogLimit:
    """Lets some of what there is to say through, and counts the rest. What it is about, such as a
    stream, has its own ``rate``. Times in seconds.
    """

    def __init__(self, rate: float = RATE) -> None:
        self._rate = rate
        self._buckets: dict[Hashable, TokenBucket] = {}
        self._left_out: dict[Hashable, int] = {}

    def take(self, about: Hashable, now: float) -> int | None:
        """None when this is one too many; else how many were, since the last that was not."""
        bucket = self._buckets.setdefault(about, TokenBucket(self._rate, now))
        if bucket.spend(0, now):
            self._left_out[about] = self._left_out.get(about, 0) + 1
            return None
        bucket.spend(1, now)
        return self._left_out.pop(about, 0)

    def forget(self, about: Hashable) -> None:
        """There will be nothing more about it: the stream has ended."""
        self._buckets.pop(about, None)
        self._left_out.pop(about, None)
