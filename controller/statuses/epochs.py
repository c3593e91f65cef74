"""Which epoch each proxy has accepted, of each type; only those that are behind cost anything.

An epoch is one published round of changes. A stream is behind in a type from a round that concerns
it until it accepts a response with everything of that round, or refuses it: what it refuses is
told elsewhere. A stream that is behind in nothing is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER
from meltemi.xds.session import Acked, Nacked, Pushed
from meltemi.xds.status import SUSPECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from meltemi.xds.resource import Key, TypeUrl
    from meltemi.xds.session import Event, Session
    from meltemi.xds.stream import Stream
    from meltemi.xds.subscription import Subscription

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


@dataclass(slots=True, eq=False)
class _Proxy:
    """``streams`` are the numbers of its open streams."""

    group: _Group
    node: str
    streams: tuple[int, ...] = ()
    lag: Lag = NONE


@dataclass(slots=True, eq=False)
class _Group:
    """``lags``: how many proxies have which; those that have none are left out."""

    number: Group
    proxies: dict[str, _Proxy] = field(default_factory=dict["str", "_Proxy"])
    lags: dict[Lag, int] = field(default_factory=dict["Lag", "int"])


class _Stream(NamedTuple):
    session: Session[Any]
    proxy: _Proxy


class _Carried(NamedTuple):
    """A response without an answer: everything of its type up to an epoch, of what was asked for
    when it was made.
    """

    type_url: TypeUrl
    upto: int
    asked: Subscription | None


@dataclass(slots=True, eq=False)
class _Behind:
    """A stream that is behind: by type the first and the last epoch that it is to accept, how far
    each unanswered response goes in its type, and since when what is held back is.

    ``kept``: types of which a refusal accuses more than is remembered of it. ``isolated``: types of
    which what was refused together is sent again one by one. ``since``: when the oldest of the
    changes arrived that it is behind of, None if that is no change.
    """

    epochs: dict[TypeUrl, tuple[int, int]] = field(
        default_factory=dict["TypeUrl", "tuple[int, int]"]
    )
    carried: dict[str, _Carried] = field(default_factory=dict["str", "_Carried"])
    held: dict[Key, int] = field(default_factory=dict["Key", "int"])
    kept: frozenset[TypeUrl] = frozenset()
    isolated: frozenset[TypeUrl] = frozenset()
    since: float | None = None

    @property
    def lag(self) -> Lag:
        """As others see it."""
        if len(self.epochs) == 1 and not self.held:  # as nearly always
            [(type_url, (first, _))] = self.epochs.items()
            return _alone(type_url, first)
        behind = frozenset((type_url, first) for type_url, (first, _) in self.epochs.items())
        return Lag(behind, frozenset(self.held))

    def concern(self, type_url: TypeUrl, first: int, last: int) -> None:
        """The stream is to accept these epochs of a type too."""
        if (known := self.epochs.get(type_url)) is not None:
            first, last = min(first, known[0]), max(last, known[1])
        self.epochs[type_url] = (first, last)

    def hold(self, held: Collection[Key], now: int) -> None:
        """This is held back now; what was and is not any more is due."""
        for key in [key for key in self.held if key not in held]:
            self.concern(key.type_url, self.held.pop(key), now)
        for key in held:
            self.held.setdefault(key, now)

    def pushed(self, event: Pushed, session: Session[Any], now: int) -> None:
        """A response carries everything of its type up to now, or to what is held. One of a type
        that the stream is not behind of comes of something that it is behind of: a proxy asks for
        the routes of a listener when it has the listener.
        """
        if event.type_url not in self.epochs and (oldest := self._oldest) is not None:
            self.concern(event.type_url, oldest, now)
        upto = now
        if self.held:
            held = (since for key, since in self.held.items() if key.type_url == event.type_url)
            upto = min(held, default=now + 1) - 1
        asked = session.asked(event.type_url)
        self.carried[event.nonce] = _Carried(event.type_url, upto, asked)

    def answered(self, event: Acked | Nacked, session: Session[Any], now: int) -> None:
        """A response is answered, and all of its type before it."""
        type_url = event.type_url
        oldest = self._oldest if type_url in ROOTS else None
        if self.kept:
            self.kept -= {type_url}
        upto = self._take(type_url, event.nonce, session)
        if (isinstance(event, Nacked) or self.isolated) and self._isolates(type_url, session):
            pass  # the answer to the last one of them counts
        elif isinstance(event, Nacked) and not event.certain and len(event.suspects) > SUSPECTS:
            self.kept |= {type_url}
        elif upto is not None:
            self._accept(type_url, upto)
        if oldest is not None:
            for child in session.types:
                if child != type_url and session.owes(child):
                    self.concern(child, oldest, now)

    def forget(self, session: Session[Any]) -> None:
        """Types of which the stream is owed nothing, and nothing is unanswered."""
        for type_url in [*self.epochs]:
            if session.owes(type_url) is False and type_url not in self.kept:
                del self.epochs[type_url]

    @property
    def _oldest(self) -> int | None:
        return min((first for first, _ in self.epochs.values()), default=None)

    def _isolates(self, type_url: TypeUrl, session: Session[Any]) -> bool:
        if isolates := session.isolates(type_url):
            self.isolated |= {type_url}
        else:
            self.isolated -= {type_url}
        return isolates

    def _take(self, type_url: TypeUrl, nonce: str, session: Session[Any]) -> int | None:
        """How far the response goes that is answered, and with it those of its type before it. What
        was asked for since then may be as old as anything.
        """
        if (answered := self.carried.get(nonce)) is None:
            return None
        for each in [each for each, sent in self.carried.items() if sent.type_url == type_url]:
            del self.carried[each]
            if each == nonce:
                break
        return answered.upto if answered.asked is session.asked(type_url) else None

    def _accept(self, type_url: TypeUrl, upto: int) -> None:
        first, last = self.epochs.get(type_url, (upto, upto))
        if upto < last:  # else it is forgotten if nothing more is due
            self.epochs[type_url] = (max(first, upto + 1), last)


@lru_cache(maxsize=256)
def _alone(type_url: TypeUrl, first: int) -> Lag:
    return Lag(frozenset({(type_url, first)}))


class Epochs:
    """The streams by number, and the proxies behind them: one with several streams counts once.

    ``observe`` hears of each stream that has accepted changes how many seconds that took, from the
    arrival of the oldest of them.
    """

    def __init__(self, observe: Callable[[float], object] = lambda _: None) -> None:
        self.now = 0
        self._observe = observe
        self._streams: dict[int, _Stream] = {}
        self._groups: dict[Group, _Group] = {}
        self._behind: dict[int, _Behind] = {}
        self._turn: tuple[Group, Lag, Lag] | None = None
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
        found = self._groups.get(group)
        return len(found.proxies) if found else 0

    def lags(self, group: Group) -> Mapping[Lag, int]:
        """How many proxies have which lag; those that have none are left out."""
        found = self._groups.get(group)
        return found.lags if found else {}

    def session(self, stream: int) -> tuple[Group, Session[Any]]:
        """Of a stream, with the group of its proxy."""
        found = self._streams[stream]
        return found.proxy.group.number, found.session

    def lag(self, stream: int) -> tuple[Group, str, Lag]:
        """The group, the name and the lag of the proxy of a stream."""
        proxy = self._streams[stream].proxy
        return proxy.group.number, proxy.node, proxy.lag

    def take_turned(self) -> Turned:
        """What changed since the last call."""
        held = {group: frozenset(keys) for group, keys in self._turned_held.items()}
        turned = Turned(frozenset(self._turned_groups), dict(self._turned_epochs), held)
        self._turn = None
        self._turned_groups.clear()
        self._turned_epochs.clear()
        self._turned_held.clear()
        return turned

    # -- what happens ------------------------------------------------------------------------------

    def opened(self, stream: int, group: Group, node: str, session: Session[Any]) -> None:
        """A stream of a proxy: it has accepted nothing yet."""
        found = self._groups.setdefault(group, _Group(group))
        proxy = found.proxies.setdefault(node, _Proxy(found, node))
        proxy.streams = (*proxy.streams, stream)
        self._streams[stream] = _Stream(session, proxy)
        self._turned_groups.add(group)
        behind = self._behind[stream] = _Behind()
        for type_url in [each for each in ROOTS if each in session.types] or session.types:
            behind.concern(type_url, 0, self.now)
        self._count(proxy)

    def closed(self, stream: int) -> None:
        """It has ended."""
        if (found := self._streams.pop(stream, None)) is None:
            return
        self._behind.pop(stream, None)
        proxy, group = found.proxy, found.proxy.group
        proxy.streams = tuple(each for each in proxy.streams if each != stream)
        self._count(proxy)
        self._turned_groups.add(group.number)
        if not proxy.streams:
            del group.proxies[proxy.node]
        if not group.proxies:
            del self._groups[group.number]

    def published(
        self, streams: Iterable[Stream], types: Collection[TypeUrl], arrived: float | None = None
    ) -> None:
        """A round changed these types for these streams; it is the epoch ``now``. ``arrived``: when
        the oldest of the changes came that caused it.
        """
        for stream in streams:
            session, number = stream.session, stream.number
            held = session.held
            concerned = [type_url for type_url in types if session.owes(type_url)]
            if not (concerned or held):
                continue
            if (behind := self._behind.get(number)) is None:
                behind = self._behind[number] = _Behind()
            if behind.since is None:
                behind.since = arrived
            for type_url in concerned:
                behind.concern(type_url, self.now, self.now)
            if held or behind.held:
                behind.hold(held, self.now)
            self._count(self._streams[number].proxy)

    def said(self, stream: int, event: Event, now: float) -> None:
        """Something happened on a stream."""
        if (behind := self._behind.get(stream)) is None:
            return
        session = self._streams[stream].session
        if behind.held:
            behind.hold(session.held, self.now)
        if isinstance(event, Pushed):
            behind.pushed(event, session, self.now)
            if len(behind.epochs) == 1 and not behind.held:
                return  # as nearly always: nobody sees a difference
        elif isinstance(event, Acked | Nacked):
            behind.answered(event, session, self.now)
        self._look(stream, behind)
        if isinstance(event, Acked) and behind.since is not None and stream not in self._behind:
            self._observe(now - behind.since)

    def look(self) -> None:
        """Look again at those that are behind: what was due may have come to nothing."""
        for stream, behind in [*self._behind.items()]:
            if not behind.carried:
                behind.hold(self._streams[stream].session.held, self.now)
                self._look(stream, behind)

    # -- how it comes about ------------------------------------------------------------------------

    def _look(self, stream: int, behind: _Behind) -> None:
        session, proxy = self._streams[stream]
        behind.forget(session)
        if not (behind.epochs or behind.held):
            del self._behind[stream]
        self._count(proxy)

    def _count(self, proxy: _Proxy) -> None:
        """Count a proxy by its lag, and remember what is different from before."""
        before, after = proxy.lag, self._lag_of(proxy)
        if after is before or after == before:
            return
        proxy.lag, number, lags = after, proxy.group.number, proxy.group.lags
        if before != NONE:
            lags[before] -= 1
            if not lags[before]:
                del lags[before]
        if after != NONE:
            lags[after] = lags.get(after, 0) + 1
        if (number, before, after) == self._turn:
            return  # as with nearly all of the proxies that hear of one change
        self._turn = (number, before, after)
        for type_url, first in before.behind ^ after.behind:
            where = (number, type_url)
            self._turned_epochs[where] = min(first, self._turned_epochs.get(where, first))
        if held := before.held ^ after.held:
            self._turned_held.setdefault(number, set()).update(held)

    def _lag_of(self, proxy: _Proxy) -> Lag:
        """A proxy is as far behind as the last of its streams."""
        if len(proxy.streams) == 1:
            behind = self._behind.get(proxy.streams[0])
            return NONE if behind is None else behind.lag
        lags = [self._behind[stream].lag for stream in proxy.streams if stream in self._behind]
        first: dict[TypeUrl, int] = {}
        for type_url, epoch in (each for lag in lags for each in lag.behind):
            first[type_url] = min(epoch, first.get(type_url, epoch))
        held = (key for lag in lags for key in lag.held)
        return Lag(frozenset(first.items()), frozenset(held))
