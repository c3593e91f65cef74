"""Which epoch each proxy has accepted, of each type; only those that are behind cost anything.

An epoch is one published round of changes. A stream is behind in a type from a round that concerns
it until it accepts a response with everything of that round, or refuses it: what it refuses is
told elsewhere. A stream that is behind in nothing is not looked at.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER
from meltemi.xds.session import Acked, Nacked, Pushed
from meltemi.xds.status import SUSPECTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from meltemi.xds.resource import Key, TypeUrl
    from meltemi.xds.session import Event, Session
    from meltemi.xds.stream import Stream

ROOTS = (CLUSTER, LISTENER)
"""A proxy that is new has nothing before it has these."""

Group = int
"""A number for each group of proxies: its own key takes long to hash."""


@cache
def hangs_on(type_url: TypeUrl) -> frozenset[TypeUrl]:
    """The types of which a proxy must have all to have all of this one: itself, and where it hears
    of its names.
    """
    if type_url in ROOTS:
        return frozenset({type_url})
    return frozenset({type_url, CLUSTER if type_url == ENDPOINT else LISTENER})


class Lag(NamedTuple):
    """What a proxy has not accepted: by type the first such epoch, and what waits for clusters."""

    behind: frozenset[tuple[TypeUrl, int]] = frozenset()
    held: frozenset[Key] = frozenset()

    def covers(self, type_url: TypeUrl, epoch: int) -> bool:
        """Whether the proxy may lack what changed in that epoch."""
        return any(first <= epoch for each, first in self.behind if each in hangs_on(type_url))


NONE = Lag()


class Turned(NamedTuple):
    """Where something changed: groups in which proxies came or went; by group and type the first
    epoch of those that proxies caught up with or fell behind of; by group what began or ceased to
    be held.
    """

    groups: frozenset[Group]
    epochs: Mapping[tuple[Group, TypeUrl], int]
    held: Mapping[Group, frozenset[Key]]


class _Proxy(NamedTuple):
    group: Group
    node: str


class _Stream(NamedTuple):
    session: Session[Any]
    proxy: _Proxy


@dataclass(slots=True)
class _Behind:
    """A stream that is behind: by type the first and the last epoch that it is to accept, how far
    each unanswered response goes in its type, and since when what is held back is.

    ``kept``: types of which a refusal accuses more than is remembered of it.
    """

    epochs: dict[TypeUrl, tuple[int, int]] = field(
        default_factory=dict["TypeUrl", "tuple[int, int]"]
    )
    carried: dict[str, tuple[TypeUrl, int]] = field(
        default_factory=dict["str", "tuple[TypeUrl, int]"]
    )
    held: dict[Key, int] = field(default_factory=dict["Key", "int"])
    kept: set[TypeUrl] = field(default_factory=set["TypeUrl"])

    @property
    def lag(self) -> Lag:
        """As others see it."""
        behind = frozenset((type_url, first) for type_url, (first, _) in self.epochs.items())
        return Lag(behind, frozenset(self.held))

    def concern(self, type_url: TypeUrl, first: int, last: int) -> None:
        """The stream is to accept these epochs of a type too."""
        known = self.epochs.get(type_url, (first, last))
        self.epochs[type_url] = (min(first, known[0]), max(last, known[1]))

    def hold(self, held: Collection[Key], now: int) -> None:
        """This is held back now; what was and is not any more is due."""
        for key in [key for key in self.held if key not in held]:
            self.concern(key.type_url, self.held.pop(key), now)
        for key in held:
            self.held.setdefault(key, now)

    def inherit(self, session: Session[Any], oldest: int, now: int, answered: TypeUrl = "") -> None:
        """What is due because of something that the stream was behind of is as old as that: a
        proxy asks for the routes of a listener when it has the listener.
        """
        for type_url in session.types:
            if type_url != answered and type_url not in self.epochs and session.owes(type_url):
                self.concern(type_url, oldest, now)

    def answer(self, event: Acked | Nacked) -> None:
        """A response is answered, and all of its type before it."""
        type_url = event.type_url
        self.kept.discard(type_url)
        if isinstance(event, Nacked) and not event.named and len(event.suspects) > SUSPECTS:
            self.kept.add(type_url)
            return
        if event.nonce not in self.carried:
            return
        upto = self.carried[event.nonce][1]
        for nonce in [n for n, sent in self.carried.items() if sent[0] == type_url]:
            del self.carried[nonce]
            if nonce == event.nonce:
                break
        first, last = self.epochs.pop(type_url, (upto, upto))
        if upto < last:
            self.epochs[type_url] = (max(first, upto + 1), last)

    def forget(self, session: Session[Any]) -> None:
        """Types of which the stream is owed nothing, and nothing is unanswered."""
        for type_url in [*self.epochs]:
            if session.owes(type_url) is False and type_url not in self.kept:
                del self.epochs[type_url]


class Epochs:
    """The streams by number, and the proxies behind them: one with several streams counts once."""

    def __init__(self) -> None:
        self.now = 0
        self._streams: dict[int, _Stream] = {}
        self._proxies: dict[Group, dict[str, tuple[int, ...]]] = {}
        self._behind: dict[int, _Behind] = {}
        self._lags: dict[_Proxy, Lag] = {}
        self._counts: dict[Group, Counter[Lag]] = {}
        self._turned_groups: set[Group] = set()
        self._turned_epochs: dict[tuple[Group, TypeUrl], int] = {}
        self._turned_held: dict[Group, set[Key]] = {}

    # -- what is asked -----------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether any proxy is."""
        return bool(self._behind)

    @property
    def turned(self) -> bool:
        """Whether something changed since ``take_turned``."""
        return bool(self._turned_groups or self._turned_epochs or self._turned_held)

    def proxies(self, group: Group) -> int:
        """How many there are."""
        return len(self._proxies.get(group, ()))

    def lags(self, group: Group) -> Mapping[Lag, int]:
        """How many proxies have which lag; those that have none are left out."""
        return self._counts.get(group, Counter())

    def session(self, stream: int) -> tuple[Group, Session[Any]]:
        """Of a stream, with the group of its proxy."""
        found = self._streams[stream]
        return found.proxy.group, found.session

    def lag(self, stream: int) -> tuple[Group, str, Lag]:
        """The group, the name and the lag of the proxy of a stream."""
        proxy = self._streams[stream].proxy
        return proxy.group, proxy.node, self._lags.get(proxy, NONE)

    def take_turned(self) -> Turned:
        """What changed since the last call."""
        held = {group: frozenset(keys) for group, keys in self._turned_held.items()}
        turned = Turned(frozenset(self._turned_groups), dict(self._turned_epochs), held)
        self._turned_groups.clear()
        self._turned_epochs.clear()
        self._turned_held.clear()
        return turned

    # -- what happens ------------------------------------------------------------------------------

    def opened(self, stream: int, group: Group, node: str, session: Session[Any]) -> None:
        """A stream of a proxy: it has accepted nothing yet."""
        proxy = _Proxy(group, node)
        self._streams[stream] = _Stream(session, proxy)
        streams = self._proxies.setdefault(group, {})
        streams[node] = (*streams.get(node, ()), stream)
        self._turned_groups.add(group)
        behind = self._behind[stream] = _Behind()
        for type_url in [each for each in ROOTS if each in session.types] or session.types:
            behind.concern(type_url, 0, self.now)
        self._count(proxy)

    def closed(self, stream: int) -> None:
        """It has ended."""
        found = self._streams.pop(stream, None)
        if found is None:
            return
        self._behind.pop(stream, None)
        group, node = proxy = found.proxy
        self._turned_groups.add(group)
        streams = self._proxies[group]
        if left := tuple(each for each in streams[node] if each != stream):
            streams[node] = left
        else:
            del streams[node]
        self._count(proxy)
        if not streams:
            del self._proxies[group]

    def published(self, streams: Iterable[Stream], types: Collection[TypeUrl]) -> None:
        """A round changed these types for these streams; it is the epoch ``now``."""
        for stream in streams:
            session = stream.session
            concerned = [type_url for type_url in types if session.owes(type_url)]
            if not (concerned or session.held):
                continue
            behind = self._behind.setdefault(stream.number, _Behind())
            for type_url in concerned:
                behind.concern(type_url, self.now, self.now)
            self._look(stream.number, behind)

    def said(self, stream: int, event: Event) -> None:
        """Something happened on a stream."""
        behind = self._behind.get(stream)
        if behind is None:
            return
        session = self._streams[stream].session
        behind.hold(session.held, self.now)
        oldest = min((first for first, _ in behind.epochs.values()), default=None)
        answered = ""
        if isinstance(event, Pushed):
            behind.carried[event.nonce] = (event.type_url, self.now)
        elif isinstance(event, Acked | Nacked):
            behind.answer(event)
            answered = event.type_url
        if oldest is not None:
            behind.inherit(session, oldest, self.now, answered)
        self._look(stream, behind)

    def look(self) -> None:
        """Look again at those that are behind: what was due may have come to nothing."""
        for stream, behind in [*self._behind.items()]:
            if not behind.carried:
                self._look(stream, behind)

    # -- how it comes about ------------------------------------------------------------------------

    def _look(self, stream: int, behind: _Behind) -> None:
        session, proxy = self._streams[stream]
        behind.hold(session.held, self.now)
        behind.forget(session)
        if not (behind.epochs or behind.held):
            del self._behind[stream]
        self._count(proxy)

    def _count(self, proxy: _Proxy) -> None:
        """Count a proxy by its lag, and remember what is different from before."""
        group, node = proxy
        before = self._lags.pop(proxy, NONE)
        after = self._lag_of(self._proxies[group].get(node, ()))
        if after != NONE:
            self._lags[proxy] = after
        if after == before:
            return
        counts = self._counts.setdefault(group, Counter())
        for lag, change in ((before, -1), (after, 1)):
            counts[lag] += change
            if not counts[lag] or lag == NONE:
                del counts[lag]
        for type_url, first in before.behind ^ after.behind:
            where = (group, type_url)
            self._turned_epochs[where] = min(first, self._turned_epochs.get(where, first))
        if held := before.held ^ after.held:
            self._turned_held.setdefault(group, set()).update(held)

    def _lag_of(self, streams: Collection[int]) -> Lag:
        """A proxy is as far behind as the last of its streams."""
        lags = [self._behind[stream].lag for stream in streams if stream in self._behind]
        if len(lags) < 2:
            return lags[0] if lags else NONE
        first: dict[TypeUrl, int] = {}
        for type_url, epoch in (each for lag in lags for each in lag.behind):
            first[type_url] = min(epoch, first.get(type_url, epoch))
        held = (key for lag in lags for key in lag.held)
        return Lag(frozenset(first.items()), frozenset(held))
