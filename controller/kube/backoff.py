"""How long to wait before trying again."""

from __future__ import annotations

from random import Random

FIRST = 0.2
LIMIT = 30.0


class Backoff:
    """Doubles from ``first`` to ``limit`` seconds, with jitter: many clients must not come at once.

    ``reset`` when something worked.
    """

    def __init__(
        self, first: float = FIRST, limit: float = LIMIT, random: Random | None = None
    ) -> None:
        self._first = first
        self._limit = limit
        self._random = random or Random()
        self._failures = 0
        self._away = False

    def next(self, retry_after: float = 0.0, *, away: bool = False) -> float:
        """Seconds to wait after one more failure, at least what the server asked for. One that was
        ``away`` and answers again is not left alone for as long as one that is away.
        """
        if self._away and not away:
            self._failures = 0
        self._away = away
        full = min(self._limit, self._first * 2.0 ** min(self._failures, 20))
        self._failures += 1
        return max(retry_after, full * self._random.uniform(0.5, 1.0))

    def reset(self) -> None:
        """Begin anew."""
        self._failures = 0
