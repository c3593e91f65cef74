"""What many streams are owed at once is composed once: everything in a reconnect storm, the change
in a fan-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from meltemi.xds.dialect import Composed
    from meltemi.xds.resource import TypeUrl
    from meltemi.xds.snapshot import Snapshot
    from meltemi.xds.subscription import Subscription

ENTRIES = 64
SIZE = 32 * 1024 * 1024
"""Bytes of bodies. A group's streams hear the same within moments: little has to be kept."""


class Owed(NamedTuple):
    """Everything that a composition depends on, where a stream sees its snapshot as it is.

    ``snapshot`` is the object's identity: the cache keeps it alive as long as it matters.
    """

    snapshot: int
    dialect: str
    type_url: TypeUrl
    subscription: Subscription
    whole: bool
    owed: bool
    dirty: frozenset[str]


class _Entry(NamedTuple):
    snapshot: Snapshot
    composed: Composed | None
    size: int


class ResponseCache:
    """Compositions of the streams of one server; the longest unused goes first."""

    def __init__(self, entries: int = ENTRIES, size: int = SIZE) -> None:
        self._entries: dict[Owed, _Entry] = {}
        self._limits = entries, size
        self._size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, owed: Owed) -> bool:
        return owed in self._entries

    def take(self, owed: Owed) -> Composed | None:
        """What was put there. Raises KeyError."""
        entry = self._entries[owed] = self._entries.pop(owed)
        return entry.composed

    def put(self, owed: Owed, snapshot: Snapshot, composed: Composed | None) -> None:
        """Keep a composition, unless it alone is too large."""
        size = sum(len(resource.body) for resource in composed.resources) if composed else 0
        entries, limit = self._limits
        if size > limit:
            return
        self._entries[owed] = _Entry(snapshot, composed, size)
        self._size += size
        while self._size > limit or len(self._entries) > entries:
            oldest = next(iter(self._entries))
            self._size -= self._entries.pop(oldest).size
