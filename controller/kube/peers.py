"""What the other replicas reported last, as far as it counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from meltemi.controller.kube.report import Report

if TYPE_CHECKING:
    from meltemi.controller.statuses.tally import Tally
    from meltemi.controller.store.objects import Identity

EXPIRES_S = 15.0
"""Seconds without a sign of life after which a replica counts no more."""

REPEATS_S = 6.0
"""Seconds within which a replica that lives repeats a report that somebody deleted."""


@dataclass(slots=True)
class _Peer:
    report: Report
    heard: float


class Peers:
    """By the names of their reports. Times in seconds of our own clock: those of others do not
    matter.
    """

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def take(self, name: str, report: Report, now: float) -> set[Identity]:
        """A replica reports, or repeats itself to show that it lives. Returns the objects of which
        it says something that it did not say before.
        """
        before = self._peers.get(name, _Peer(Report(0, {}), now))
        self._peers[name] = _Peer(report, now)
        known = before.report.tallies
        told = known.keys() | report.tallies.keys()
        return {each for each in told if known.get(each) != report.tallies.get(each)}

    def missed(self, name: str, now: float) -> bool:
        """Its report is gone; whether it still counts. Unless it was emptied before it went, the
        replica did not remove it, and repeats it soon.
        """
        peer = self._peers.get(name)
        if peer is None or not peer.report.proxies:
            return False
        peer.heard = min(peer.heard, now + REPEATS_S - EXPIRES_S)
        return True

    def drop(self, name: str) -> bool:
        """A replica is gone, with its proxies; whether it counted. That may be about any object,
        for those that it had not seen were waiting for it.
        """
        return self._peers.pop(name, None) is not None

    def expired(self, now: float) -> list[str]:
        """The names of those who have been silent for too long."""
        return [name for name, peer in self._peers.items() if now >= peer.heard + EXPIRES_S]

    def tally(self, identity: Identity, uid: str = "") -> Tally | None:
        """What the proxies of all others say of an object; None when there are no others."""
        tallies = [peer.report.tally(identity, uid) for peer in self._peers.values()]
        return reduce(add, tallies) if tallies else None
