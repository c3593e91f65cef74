"""How things are now, in the words of the metrics."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import grpc

from meltemi.controller import metrics
from meltemi.controller.decode import is_read
from meltemi.controller.kube.state import State
from meltemi.protocols.problem import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from meltemi.controller.findings import Finding
    from meltemi.controller.metrics import Reading
    from meltemi.controller.sources import Followed
    from meltemi.controller.store.objects import Identity
    from meltemi.xds.peer import Peer
    from meltemi.xds.session import Session
    from meltemi.xds.status import Status

OTHER = "other"
"""The kind of objects whose kind nobody here knows; users may write anything there."""


@dataclass(frozen=True, slots=True)
class Share:
    """A replica's share in what is done in a cluster. ``writes``: of statuses, by outcome;
    ``waiting`` are to come; ``reports``: of other replicas that count.
    """

    leads: bool
    writes: Mapping[str, int]
    waiting: int
    reports: int


@dataclass(frozen=True, slots=True)
class Present:
    """What is looked at. ``heard``: how many seconds ago the source delivered something, None if
    it never did. ``sessions``: the open ones, by the number of their stream.
    """

    ready: bool
    synced: bool
    heard: float | None
    held: int
    groups: int
    sessions: Iterable[tuple[int, Session[Any]]]
    status: Status
    identities: Iterable[Identity]
    findings: Iterable[Finding]
    followed: Iterable[Followed] = ()
    share: Share | None = None


def readings(now: Present) -> Iterator[Reading]:
    """The values of all gauges."""
    yield metrics.BUILD, [(_build(), 1.0)]
    yield metrics.READY, [((), float(now.ready))]
    yield metrics.SYNCED, [((), float(now.synced))]
    if now.heard is not None:
        yield metrics.AGE, [((), now.heard)]
    yield metrics.HELD, [((), float(now.held))]
    yield metrics.GROUPS, [((), float(now.groups))]
    yield metrics.STREAMS, _streams(now)
    yield metrics.OBJECTS, _objects(now.identities)
    yield metrics.FINDINGS, _findings(now.findings)
    yield from _kinds(tuple(now.followed))
    yield from _shares(() if now.share is None else (now.share,))


@cache
def _build() -> tuple[str, ...]:
    python = ".".join(map(str, sys.version_info[:3]))
    return version("meltemi"), python, grpc.__version__


def _streams(now: Present) -> Iterable[tuple[tuple[str, ...], float]]:
    known = now.status.numbered()
    transports = ("plaintext", "mtls", "token")
    counts = Counter({(d, t): 0 for d in ("sotw", "delta") for t in transports})
    for number, session in now.sessions:
        if (stream := known.get(number)) is not None:
            counts[session.dialect, _transport(stream.peer)] += 1
    return [(labels, float(count)) for labels, count in sorted(counts.items())]


def _transport(peer: Peer) -> str:
    if peer.identity is None:
        return "plaintext"
    return "token" if peer.by_token else "mtls"


def _objects(identities: Iterable[Identity]) -> Iterable[tuple[tuple[str, ...], float]]:
    counts = Counter(each.kind if is_read(each) else OTHER for each in identities)
    return [((kind,), float(count)) for kind, count in sorted(counts.items())]


def _findings(found: Iterable[Finding]) -> Iterable[tuple[tuple[str, ...], float]]:
    counts = Counter(finding.problem.code for finding in found)
    return [
        ((code, known.severity.value), float(counts[code])) for code, known in sorted(CODES.items())
    ]


def _kinds(followed: Sequence[Followed]) -> Iterator[Reading]:
    """Of a source that follows kinds."""
    states: Counter[tuple[str, ...]] = Counter()
    events: Counter[tuple[str, ...]] = Counter()
    relists: Counter[tuple[str, ...]] = Counter()
    ages: dict[tuple[str, ...], float] = {}
    for each in followed:
        states.update({(each.kind, state.name.lower()): 0 for state in State})
        states[each.kind, each.state] += 1
        events[each.kind,] += each.events
        relists[each.kind,] += each.relists
        if each.age is not None:
            ages[each.kind,] = max(each.age, ages.get((each.kind,), 0.0))
    yield metrics.KIND_STATE, states.items()
    yield metrics.KIND_EVENTS, events.items()
    yield metrics.KIND_RELISTS, relists.items()
    yield metrics.KIND_AGE, ages.items()


def _shares(shares: Sequence[Share]) -> Iterator[Reading]:
    """Of one replica, or of none where there is no cluster."""
    yield metrics.LEADER, [((), float(each.leads)) for each in shares]
    yield (
        metrics.STATUS_WRITES,
        [((outcome,), float(n)) for each in shares for outcome, n in each.writes.items()],
    )
    yield metrics.STATUS_WAITING, [((), float(each.waiting)) for each in shares]
    yield metrics.REPORTS, [((), float(each.reports)) for each in shares]
