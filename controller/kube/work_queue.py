"""What has to be looked at: each thing once, however often it was put, and by one worker."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

Key = TypeVar("Key", bound="Hashable")


class WorkQueue(Generic[Key]):
    """``apart``: seconds from work on a thing until it is due again. Times in seconds."""

    def __init__(self, apart: float) -> None:
        self._apart = apart
        self._due: dict[Key, float] = {}
        self._order: list[tuple[float, int, Key]] = []
        self._number = count()
        self._busy: set[Key] = set()
        self._resting: dict[Key, float] = {}
        self._paused = -inf

    def __len__(self) -> int:
        """How many things wait or are worked on."""
        return len(self._due.keys() | self._busy)

    def put(self, key: Key, due: float) -> None:
        """Look at it then, unless that happens earlier anyway."""
        due = max(due, self._resting.get(key, -inf))
        if due < self._due.get(key, inf):
            self._due[key] = due
            heappush(self._order, (due, next(self._number), key))

    def take(self, now: float) -> Key | None:
        """The thing that is due first; ``done`` must be said of it. None when nothing is."""
        while self._order and max(self._order[0][0], self._paused) <= now:
            due, _, key = heappop(self._order)
            if self._due.get(key) == due and key not in self._busy:
                del self._due[key]
                self._busy.add(key)
                return key
        return None

    def done(self, key: Key, now: float, *, rest: bool) -> None:
        """Work on it has ended. ``rest``: it is not due again too soon."""
        self._busy.discard(key)
        self._resting.pop(key, None)
        if rest:
            self._resting[key] = now + self._apart
        if (due := self._due.pop(key, None)) is not None:
            self.put(key, due)

    def pause(self, until: float) -> None:
        """Nothing is due before."""
        self._paused = max(self._paused, until)

    def deadline(self) -> float | None:
        """When something may be due next; None when nothing waits."""
        return max(self._order[0][0], self._paused) if self._order else None

    def clear(self) -> None:
        """Forget what waits; what is worked on goes on."""
        self._due.clear()
        self._order.clear()
        self._resting.clear()
        self._paused = -inf
