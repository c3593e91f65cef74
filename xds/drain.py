"""When streams end that nothing is wrong with. Pure: chance is a parameter, from 0 to below 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SPACING = 0.02
"""Seconds between the ends of two streams, where the grace lasts for that: another replica then
gets 50 proxies a second.
"""

OUTLIVED = 60.0
"""Seconds by which streams outlive what their peers were let in with, at most: theirs may all
expire in the same second.
"""

_SHARE = 0.7  # of the grace; the rest is for what is still being written then
_JITTER = 0.1


def drain_schedule(count: int, grace: float, chance: Callable[[], float]) -> Sequence[float]:
    """When each of ``count`` streams of a stopping server ends, in seconds from now."""
    step = min(SPACING, _SHARE * grace / count) if count else 0.0
    return [(number + chance()) * step for number in range(count)]


def lifetime(age: float, chance: Callable[[], float]) -> float:
    """How long a stream lasts: about ``age``, so that streams that began together do not end so."""
    return age * (1 - _JITTER + 2 * _JITTER * chance())


def expiry(lasts: float, chance: Callable[[], float]) -> float:
    """When a stream ends whose peer's token is good for so long: a little later, so that the next
    one comes with another token.
    """
    return lasts + min(OUTLIVED, lasts * _JITTER) * chance()
