"""What a stream has been told of everything that it asks for."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from meltemi.xds.resource import Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meltemi.xds.dialect import TypeState
    from meltemi.xds.release import Release
    from meltemi.xds.resource import Resource


class Progress(Enum):
    """How far the latest word on a name is on its way: not written, not answered, or answered."""

    DUE = "due"
    SENT = "sent"
    ANSWERED = "answered"


class Holding(NamedTuple):
    """A name that a stream asks for; ``resource`` is None where there is none of that name."""

    key: Key
    resource: Resource | None
    progress: Progress


def holdings(states: Iterable[TypeState], view: Release) -> Iterator[Holding]:
    """By type in the order of ``states``, then by name."""
    for state in states:
        type_url = state.rules.type_url
        table = view.of_type(type_url)
        names = state.subscription.names
        if state.subscription.wildcard:
            names = names | table.keys()
        sent = frozenset[str]().union(*(each.names for each in state.unanswered.values()))
        for name in sorted(names):
            yield Holding(Key(type_url, name), table.get(name), _progress(state, name, sent))


def _progress(state: TypeState, name: str, sent: frozenset[str]) -> Progress:
    if state.whole or name in state.dirty:
        return Progress.DUE
    return Progress.SENT if name in sent else Progress.ANSWERED
