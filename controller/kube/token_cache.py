"""What is known of tokens that were reviewed lately. Pure: times in seconds of any steady clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from meltemi.xds.bearer import Verified
from meltemi.xds.peer import UnidentifiedError

if TYPE_CHECKING:
    from meltemi.xds.peer import Identity

T = TypeVar("T")

ACCEPTED = 60.0
"""Seconds for which a token that was found good is not looked at again. A deleted service account
can open streams for so long.
"""

REFUSED = 5.0
"""Seconds for which one that was found bad is refused without another look."""

MOST = 10_000
"""How many of each are remembered."""


class _Known(NamedTuple):
    identity: Identity
    expires: float


class TokenCache:
    """``key`` stands for a token and must not reveal it. A flood of bad tokens makes nobody forget
    the good ones.
    """

    def __init__(self, most: int = MOST) -> None:
        self._accepted = _Shelf[_Known](most)
        self._refused = _Shelf[str](most)

    def look(self, key: bytes, now: float) -> Verified | None:
        """Who a token is of; None when that is not known. Raises UnidentifiedError for one that
        was refused.
        """
        if (refusal := self._refused.get(key, now)) is not None:
            raise UnidentifiedError(refusal)
        known = self._accepted.get(key, now)
        return known and Verified(known.identity, known.expires - now)

    def accept(self, key: bytes, found: Verified, now: float) -> None:
        """A token is good."""
        known = _Known(found.identity, now + found.lasts)
        self._accepted.put(key, known, now, min(ACCEPTED, found.lasts))

    def refuse(self, key: bytes, why: str, now: float) -> None:
        """It is not."""
        self._refused.put(key, why, now, REFUSED)


class _Shelf(Generic[T]):
    """The oldest goes when there are too many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._until: dict[bytes, tuple[T, float]] = {}

    def get(self, key: bytes, now: float) -> T | None:
        found, until = self._until.get(key, (None, 0.0))
        if found is not None and until <= now:
            del self._until[key]
            return None
        return found

    def put(self, key: bytes, value: T, now: float, lasts: float) -> None:
        self._until.pop(key, None)
        self._until[key] = value, now + lasts
        if len(self._until) > self._most:
            del self._until[next(iter(self._until))]
