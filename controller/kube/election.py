"""Which replica leads: the rules of client-go's leader election, without I/O.

Whoever writes its name into the Lease leads, and renews it. Others take it when it has not changed
for as long as its holder claimed it, by their own clock since they saw it change: clocks of two
machines are never compared. A leader that cannot renew stops well before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from meltemi.controller.kube.timestamps import micro_time

if TYPE_CHECKING:
    from random import Random

DURATION_S = 12
"""Seconds without a renewal after which others may take the lead."""

RENEW_S = 8.0
"""Seconds without a renewal after which the leader leads no more."""

RETRY_S = 2.0
"""Seconds between two looks at the Lease, a fifth more or less."""

LATE_S = 0.1
"""Seconds over which those who wait for the same Lease to expire are spread."""


class Record(msgspec.Struct, frozen=True, rename="camel"):
    """LeaseSpec of ``coordination.k8s.io/v1``. An empty holder is nobody."""

    holder_identity: str = ""
    lease_duration_seconds: int = DURATION_S
    acquire_time: str = ""
    renew_time: str = ""
    lease_transitions: int = 0


class Election:
    """One candidate. Times in seconds of a monotonic clock, but ``wall``: since 1970."""

    def __init__(self, identity: str, random: Random) -> None:
        self.identity = identity
        self._random = random
        self._record = Record(lease_duration_seconds=0)
        self._changed = 0.0
        self._renewed: float | None = None

    @property
    def record(self) -> Record:
        """What the Lease said when it was last seen."""
        return self._record

    def leads(self, now: float) -> bool:
        """Whether nobody else can be the leader."""
        return self._renewed is not None and now < self._renewed + RENEW_S

    def follows(self) -> bool:
        """Whether somebody else holds the Lease."""
        return self._record.holder_identity not in {"", self.identity}

    def saw(self, record: Record, now: float) -> None:
        """This stands in the Lease."""
        if record != self._record:
            self._record, self._changed = record, now
        if record.holder_identity != self.identity:
            self._renewed = None

    def bid(self, now: float, wall: float) -> Record | None:
        """What to write into the Lease to lead; None while somebody else does."""
        held, at = self._record, micro_time(wall)
        if held.holder_identity == self.identity:
            return msgspec.structs.replace(held, lease_duration_seconds=DURATION_S, renew_time=at)
        if self.follows() and now < self._expiry():
            return None
        transitions = held.lease_transitions + 1 if held.acquire_time else 0
        return Record(self.identity, DURATION_S, at, at, transitions)

    def won(self, record: Record, asked: float) -> None:
        """The bid stands in the Lease; it was ``asked`` for then, so nobody saw it earlier."""
        self._record, self._changed, self._renewed = record, asked, asked

    def resignation(self, wall: float) -> Record | None:
        """What to write so that others need not wait; None when the Lease is not ours."""
        self._renewed = None
        if self._record.holder_identity != self.identity:
            return None
        at = micro_time(wall)
        return Record("", 1, at, at, self._record.lease_transitions)

    def pause(self, now: float) -> float:
        """Seconds until the next look."""
        pause = RETRY_S * self._random.uniform(0.8, 1.2)
        if self._renewed is not None and (left := self._renewed + RENEW_S - now) > 0:
            return min(pause, left)
        if self.follows() and (left := self._expiry() - now) > 0:
            return min(pause, left + LATE_S * self._random.random())
        return pause

    def _expiry(self) -> float:
        return self._changed + self._record.lease_duration_seconds
