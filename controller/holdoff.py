"""A storm of changes costs one compile: what to compile now, and what to wait with."""

from __future__ import annotations

from meltemi.protocols.model import Dirty

NOTHING = Dirty()


class HoldOff:
    """The first change after quiet leaves at once. Those that follow within ``quiet`` of each other
    leave together when it is quiet again, and none waits longer than ``longest``. Endpoints do not
    wait, unless they changed together with something that does. Times in seconds; time is a
    parameter.
    """

    def __init__(self, quiet: float, longest: float) -> None:
        self._quiet = quiet
        self._longest = longest
        self._held = NOTHING
        self._passing = NOTHING
        self._first = 0.0
        self._last: float | None = None

    def take(self, dirty: Dirty, now: float) -> None:
        """Something changed, and what belongs together is in one ``dirty``."""
        if not (dirty.hosts or dirty.secrets or dirty.applications):
            apart = dirty.endpoints - self._held.endpoints - self._held.hosts
            self._passing |= Dirty(endpoints=apart)
            self._held |= Dirty(endpoints=dirty.endpoints - apart)
            return
        quiet = self._last is None or now >= self._last + self._quiet
        self._last = now
        if quiet and not self._held:
            self._passing |= dirty
            return
        if not self._held:
            self._first = now
        self._held |= dirty

    @property
    def held(self) -> int:
        """How many hosts, secrets and applications wait."""
        held = self._held
        return len(held.hosts | held.endpoints) + len(held.secrets) + len(held.applications)

    def deadline(self) -> float | None:
        """When what waits is due if nothing happens before; None for never."""
        if not self._held or self._last is None:
            return None
        return min(self._last + self._quiet, self._first + self._longest)

    def release(self, now: float, *, everything: bool = False) -> Dirty:
        """What is to be compiled now; ``everything``: what waits as well."""
        released, self._passing = self._passing, NOTHING
        deadline = self.deadline()
        if deadline is not None and (everything or deadline <= now):
            released |= self._held
            self._held = NOTHING
        return released
