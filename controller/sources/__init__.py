"""Where objects come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from meltemi.controller.store.objects import Change
    from meltemi.protocols.problem import Problem


class SourceError(Exception):
    """The source as a whole cannot be read; the message is a sentence for its user."""


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything that existed when the source was opened has been delivered."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a user finds what a problem is about. ``line`` counts from 1; 0 is unknown."""

    file: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Followed:
    """How following a kind goes, of which there may be several parts. ``events`` and ``relists``
    since the beginning; ``age`` is for how many seconds it has said nothing, None if it never did.
    """

    kind: str
    state: str
    events: int
    relists: int
    age: float | None


Event: TypeAlias = "tuple[Change, ...] | Synced"
"""Changes that belong together, or the end of the first complete reading."""


class Source(Protocol):
    """Delivers every object, then ``Synced``, then changes for as long as it is iterated.

    Raises SourceError when it cannot begin.
    """

    def events(self) -> AsyncIterator[Event]:
        """Iterated once; leaving the iteration closes the source."""
        ...

    def place(self, problem: Problem) -> Place | None:
        """Where the problem is; None when the source has no places to show."""
        ...

    def followed(self) -> Iterable[Followed]:
        """How it goes, kind by kind; nothing when the source does not follow kinds."""
        ...
