"""One xDS stream, without its transport: requests and snapshots in, events and responses out.

The owner feeds it bytes and the time, and writes what it says. The contract: compare with what was
sent, not with what was accepted, so refused content is not repeated, except that what was refused
together and not by name is sent once more, each resource alone; one unanswered response per type; a
stale request gets no answer, but the names in it count; newly named resources are due even at an
unchanged version; after a changed cluster its assignment is due again; nonces only grow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic

from meltemi.xds.dialect import R, Sent, TypeState
from meltemi.xds.holding import holdings
from meltemi.xds.refusal import named_in
from meltemi.xds.release import Release
from meltemi.xds.resource import Key, Removal
from meltemi.xds.response_cache import Owed
from meltemi.xds.wire import Header, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence, Set

    from meltemi.xds.dialect import Composed, Dialect
    from meltemi.xds.holding import Holding
    from meltemi.xds.resource import Resource, TypeRules, TypeUrl
    from meltemi.xds.response_cache import ResponseCache
    from meltemi.xds.snapshot import Snapshot
    from meltemi.xds.subscription import Subscription

ANSWER_TIMEOUT = 1.0
"""Seconds after which an unanswered response no longer holds back the next one of its type."""

_UNANSWERED_LIMIT = 16


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The stream asks for a type."""

    type_url: TypeUrl


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """The stream asks for nothing of a type any more."""

    type_url: TypeUrl


@dataclass(frozen=True, slots=True)
class Resumed:
    """A proxy that comes again holds all that it should of a type, and is sent nothing to accept.
    ``version`` is that of the type's whole content.
    """

    type_url: TypeUrl
    version: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """A response is on its way to the proxy; ``size`` in bytes."""

    type_url: TypeUrl
    version: str
    nonce: str
    size: int


@dataclass(frozen=True, slots=True)
class Acked:
    """The proxy accepted a response. ``version`` is that of the type's whole content, ``names``
    are what the response, and those that it answers too, said something new of, without those whose
    acceptance proves nothing. ``waited``: seconds from the response to this answer.
    """

    type_url: TypeUrl
    version: str
    nonce: str
    names: frozenset[str]
    waited: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Nacked:
    """The proxy refused a response, or a part of it.

    ``message`` is the proxy's, at most 4,096 characters. ``suspects`` are the resources that it
    names, else all that were new in the responses that it may be about. They are ``certain`` if it
    names them, or there is only one. ``names`` are what those responses said something new of.
    """

    type_url: TypeUrl
    version: str
    nonce: str
    message: str
    suspects: tuple[Resource, ...]
    certain: bool
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Dropped:
    """The proxy asks no more for ``names``, of which it had refused the last version."""

    type_url: TypeUrl
    names: frozenset[str]


Event = Subscribed | Unsubscribed | Resumed | Pushed | Acked | Nacked | Dropped


class Session(Generic[R]):
    """One stream. Time is a parameter: seconds of any steady clock.

    ``rules`` in push order. ``only``: the type of a stream that is not aggregated. ``node_id``: of
    the first request, which the owner reads to find the snapshot. ``drain``: how long this
    proxy's connections may go on using what has been taken away, in seconds. ``cache``: where
    sessions share what they compose.
    """

    def __init__(
        self,
        dialect: Dialect[R],
        rules: Sequence[TypeRules],
        snapshot: Snapshot,
        *,
        node_id: str,
        identifier: str,
        drain: float,
        only: TypeUrl = "",
        cache: ResponseCache | None = None,
    ) -> None:
        self._dialect = dialect
        self._rules = {rule.type_url: rule for rule in rules if only in ("", rule.type_url)}
        self._release = Release(snapshot, self._rules, drain)
        self._node_id = node_id
        self._identifier = identifier
        self._only = only
        self._cache = cache
        self._states: dict[TypeUrl, TypeState] = {}
        self._named = 0
        self._number = 0
        self._pushed: Pushed | None = None

    @property
    def types(self) -> Collection[TypeUrl]:
        """The types that the stream can ask for."""
        return self._rules.keys()

    @property
    def names(self) -> int:
        """How many names are kept for the stream: what it asks for, of all types, and clusters
        that linger.
        """
        return self._named + self._release.leaving

    @property
    def dialect(self) -> str:
        """``sotw`` or ``delta``."""
        return type(self._dialect).__name__.lower()

    @property
    def pushed(self) -> Pushed | None:
        """What is to be told of the response that ``next_response`` gave last."""
        return self._pushed

    @property
    def replaceable(self) -> bool:
        """Whether the proxy's next stream can go on where this one is: clusters that linger are
        lost to one that cannot say that it holds them.
        """
        return self._dialect.recalls or not self._release.lingering

    @property
    def held(self) -> Set[Key]:
        """What waits for clusters to be warm, and is not sent before."""
        return self._release.held

    def asks(self, key: Key) -> bool:
        """Whether the proxy wants to have this resource."""
        state = self._states.get(key.type_url)
        return state is not None and state.subscription.selects(key.name)

    def asked(self, type_url: TypeUrl) -> Subscription | None:
        """What the proxy asks for of a type: the same object until that is something else."""
        state = self._states.get(type_url)
        return None if state is None else state.subscription

    def owes(self, type_url: TypeUrl) -> bool | None:
        """Whether something of a type is due, or has no answer; None if nobody asked for it yet."""
        state = self._states.get(type_url)
        return None if state is None else state.due or bool(state.unanswered)

    def isolates(self, type_url: TypeUrl) -> bool:
        """Whether more of what was refused together is to be sent again, each resource alone."""
        state = self._states.get(type_url)
        return state is not None and bool(state.suspects)

    @property
    def settled(self) -> bool:
        """Whether the proxy has answered everything that it should have, and nothing is due."""
        return not any(state.due or state.unanswered for state in self._states.values())

    @property
    def resting(self) -> bool:
        """Whether nothing can be due before the next request or update, whatever the time is."""
        if not self._release.resting:
            return False
        for state in self._states.values():  # asked several times for each response: no generator
            if state.whole or state.owed or state.dirty or state.suspects:
                return False
        return True

    def holdings(self) -> Iterator[Holding]:
        """Everything that the stream asks for, by type in push order, then by name."""
        states = (self._states.get(type_url) for type_url in self._rules)
        return holdings((state for state in states if state is not None), self._release)

    def receive(self, raw: bytes, now: float) -> tuple[Event, ...]:
        """Take in a request. Raises ProtocolError when the stream must end."""
        request = self._dialect.decode(raw, [state.names for state in self._states.values()])
        self._check_node(request)
        rules = self._rules.get(self._type_of(request))
        if rules is None:
            return ()  # A type that we do not serve must not end the stream: silence.
        known = self._states.get(rules.type_url)
        if known is None:
            # Whatever nonce it carries is of another stream.
            state = self._states[rules.type_url] = TypeState(rules)
            return self._subscribe(state, request, now, first=True)
        answers = self._answered(known, request, now)
        return (*answers, *self._subscribe(known, request, now, first=False))

    def update(self, snapshot: Snapshot, changed: Collection[Key]) -> None:
        """The proxy should hold this now; ``changed`` are all keys that differ from before."""
        self._touch(self._release.update(snapshot, changed))

    def next_response(self, now: float) -> bytes | None:
        """What to write next, in push order; None when nothing is due.

        To be asked again after every write, after every request or update, and at ``deadline``.
        """
        if self.resting:
            return None
        for state in self._states.values():
            if state.release_at is not None and state.release_at <= now:
                state.release_at = None
        if self._release.resting:  # as nearly always: time changes nothing there
            return self._first_due(now)
        while True:
            quiet = self._quiet
            self._touch(self._release.tick(now, quiet=quiet))
            response = self._first_due(now)
            if response is not None or quiet or not self._quiet:
                return response

    def deadline(self) -> float | None:
        """When to ask for responses again if nothing happens before; None for never."""
        if self.resting:
            return None
        waits = [self._release.deadline(quiet=self._quiet)]
        waits += [
            state.release_at
            for state in self._states.values()
            if state.due or (state.rules.gated and self._release.lingering)
        ]
        return min((wait for wait in waits if wait is not None), default=None)

    @property
    def _quiet(self) -> bool:
        """Whether lingering clusters may go: the proxy has accepted whatever named them."""
        return self._release.lingering and not any(
            state.rules.gated
            and (state.due or state.release_at is not None or self._refuses(state))
            for state in self._states.values()
        )

    def _refuses(self, state: TypeState) -> bool:
        """Whether the proxy may use an older version of something, and clusters that it names."""
        type_url = state.rules.type_url
        return any(self._release.get(Key(type_url, name)) is not None for name in state.refused)

    def _first_due(self, now: float) -> bytes | None:
        for type_url in self._rules:
            state = self._states.get(type_url)
            while state is not None and state.due and not self._blocked(state):
                if state.suspects:
                    state.isolate()
                composed = self._compose(state)
                state.clear()
                if composed is not None:
                    return self._send(state, composed, now)
                if self._lingers(state):
                    self._release.complete()
        return None

    def _compose(self, state: TypeState) -> Composed | None:
        """What the stream is owed. Streams that see the same snapshot as it is share it."""
        snapshot = self._release.snapshot
        if self._cache is None or snapshot is None:
            return self._dialect.compose(state, self._release)
        owed = Owed(
            id(snapshot),
            self.dialect,
            state.rules.type_url,
            state.subscription,
            state.whole,
            state.owed,
            frozenset(state.dirty),
        )
        try:
            return self._cache.take(owed)
        except KeyError:
            composed = self._dialect.compose(state, self._release)
            self._cache.put(owed, snapshot, composed)
            return composed

    def _blocked(self, state: TypeState) -> bool:
        return state.release_at is not None or (state.rules.gated and self._release.waiting)

    def _check_node(self, request: R) -> None:
        if request.node_id not in ("", self._node_id):
            raise ProtocolError(
                f"node.id changed from {self._node_id!r} to {request.node_id!r} on one stream"
            )

    def _type_of(self, request: R) -> TypeUrl:
        type_url = request.type_url or self._only
        if not type_url:
            raise ProtocolError("a request on an aggregated stream must carry type_url")
        if self._only not in ("", type_url):
            raise ProtocolError(f"this service serves {self._only}, not {type_url}")
        return type_url

    def _answered(self, state: TypeState, request: R, now: float) -> tuple[Event, ...]:
        """The request as an answer to a response, if it is the first one with that nonce."""
        if request.nonce not in state.unanswered:
            return ()
        covered = _take_until(state.unanswered, request.nonce)
        last = covered[-1]
        if request.nonce == state.nonce:
            state.release_at = None
        event: Acked | Nacked
        refused: Collection[str] = ()
        if request.error is None:
            names = last.names
            if len(covered) > 1:
                names = names.union(*(sent.names for sent in covered[:-1]))
            if state.refused:
                names -= _unproven(state, covered)
                state.absolve(names)
            waited = now - last.at
            event = Acked(state.rules.type_url, last.version, request.nonce, names, waited)
        else:
            event = self._nacked(state, request.nonce, request.error, covered)
            refused = self._accuse(state, event)
        if self._lingers(state):
            self._touch(self._release.answered(last.number, refused))
        return (event,)

    def _nacked(
        self, state: TypeState, nonce: str, message: str, covered: Sequence[Sent]
    ) -> Nacked:
        # A proxy that answers late answers several responses at once: with the last nonce, and
        # the error of any of them.
        type_url = state.rules.type_url
        table = self._release.of_type(type_url)
        names = frozenset[str]().union(*(sent.names for sent in covered))
        fresh = {resource.name: resource for sent in covered for resource in sent.changed}
        named = tuple(fresh.get(name) or table[name] for name in named_in(message, fresh, table))
        alone = names == fresh.keys() and len(fresh) == 1 and self._dialect.partial(state.rules)
        return Nacked(
            type_url,
            covered[-1].version,
            nonce,
            message,
            named or tuple(fresh.values()),
            bool(named) or alone,
            names,
        )

    def _accuse(self, state: TypeState, event: Nacked) -> Collection[str]:
        """Remember what is refused; returns the names of what the proxy has not got because of
        that, as far as it is known.
        """
        suspects = {resource.name: resource.version for resource in event.suspects}
        if event.certain:  # then the rest is in force
            state.absolve(event.names - suspects.keys())
            state.refused |= suspects
            return suspects
        for name in suspects:
            state.refused.setdefault(name, "")
        if not self._dialect.partial(state.rules):
            return ()
        table = self._release.of_type(state.rules.type_url)
        state.suspects |= {
            name: version
            for name, version in suspects.items()
            if state.refused[name] != version and name in table and table[name].version == version
        }
        return suspects

    def _subscribe(
        self, state: TypeState, request: R, now: float, *, first: bool
    ) -> tuple[Event, ...]:
        before = state.subscription
        self._dialect.subscribe(state, request, self._release, first=first)
        after = state.subscription
        if after is before and not first:
            return ()  # as nearly always: it only answered
        self._named += len(after.names) - len(before.names)
        if self._lingers(state):
            self._subscribe_clusters(state, request, first=first)
        elif first and request.resumes:
            self._release.resume(now)
        type_url = state.rules.type_url
        told: list[Event] = []
        if dropped := frozenset(name for name in state.refused if not after.selects(name)):
            state.absolve(dropped)
            told.append(Dropped(type_url, dropped))
        if bool(before) != bool(after):
            told.append(Subscribed(type_url) if after else Unsubscribed(type_url))
        if first and after and request.resumes and not state.due:
            told.append(Resumed(type_url, self._release.version(type_url)))
        return tuple(told)

    def _subscribe_clusters(self, state: TypeState, request: R, *, first: bool) -> None:
        if not first:
            self._touch(self._release.follow(state.subscription))
            return
        known = self._dialect.known(state, request, self._release)
        self._release.subscribe(state.subscription, known)
        self._release.adopt(known)

    def _lingers(self, state: TypeState) -> bool:
        return state.rules.removal is Removal.LINGER

    def _touch(self, keys: Iterable[Key]) -> None:
        """These look different now: consider them in the next response."""
        for type_url, name in keys:
            state = self._states.get(type_url)
            if state is not None and state.subscription.selects(name):
                state.dirty.add(name)

    def _send(self, state: TypeState, composed: Composed, now: float) -> bytes:
        self._number += 1
        type_url = state.rules.type_url
        version = self._release.version(type_url)
        state.nonce = str(self._number)
        state.unanswered[state.nonce] = Sent(
            self._number, version, composed.changed, composed.about, now
        )
        while len(state.unanswered) > _UNANSWERED_LIMIT:
            del state.unanswered[next(iter(state.unanswered))]
        state.release_at = now + ANSWER_TIMEOUT
        for name in composed.about if state.suspects else ():
            state.suspects.pop(name, None)
        if self._lingers(state):
            self._release.sent(self._number, composed.changed, now)
        for child, names in self._children(composed):
            wanted = child.subscription
            child.dirty |= names if wanted.wildcard else names & wanted.names
        header = Header(type_url, version, state.nonce, self._identifier)
        response = self._dialect.encode(header, composed)
        self._pushed = Pushed(type_url, version, state.nonce, len(response))
        return response

    def _children(self, composed: Composed) -> Iterator[tuple[TypeState, frozenset[str]]]:
        """A changed parent warms anew, and waits for its child even if that did not change."""
        for type_url, names in composed.references.items():
            state = self._states.get(type_url)
            if state is not None and state.rules.removal is Removal.WITH_PARENT:
                yield state, names


def _unproven(state: TypeState, covered: Iterable[Sent]) -> frozenset[str]:
    """What may be refused still, though the proxy accepts it alone now."""
    if not state.rules.acks_refused:
        return frozenset()
    changed = (resource for sent in covered for resource in sent.changed)
    return frozenset(each.name for each in changed if state.refused.get(each.name) == each.version)


def _take_until(unanswered: dict[str, Sent], nonce: str) -> list[Sent]:
    """Remove and return the responses up to the one with that nonce, which must be there."""
    if next(iter(unanswered)) == nonce:
        return [unanswered.pop(nonce)]
    count = list(unanswered).index(nonce) + 1
    return [unanswered.pop(earlier) for earlier in list(unanswered)[:count]]
