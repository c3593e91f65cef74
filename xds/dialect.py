"""What differs between the two ways to speak xDS: state-of-the-world and delta.

A dialect reads requests, folds them into what a stream wants of a type, and composes what the
stream is owed. It keeps no state of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from meltemi.xds import wire
from meltemi.xds.resource import Key, Missing, Removal, Resource, content_version
from meltemi.xds.subscription import WILDCARD, Subscription
from meltemi.xds.wire import DeltaRequest, Header, Names, Node, SotwRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence, Set

    from meltemi.xds.release import Release
    from meltemi.xds.resource import TypeRules, TypeUrl


class Sent(NamedTuple):
    """An unanswered response. ``changed`` is what was new in it: a NACK is about that. ``names``
    also holds what it took away. ``at`` is when it was made, by the owner's clock.
    """

    number: int
    version: str
    changed: tuple[Resource, ...]
    names: frozenset[str]
    at: float = 0.0


@dataclass(slots=True, eq=False)
class TypeState:
    """One type on one stream: its own little stream, in the words of the specification.

    ``dirty``: names to consider in the next response. ``whole``: consider everything selected.
    ``owed``: answer even if there is nothing to say. ``names``: a SotW stream's last list.
    ``unanswered``: responses by nonce, oldest first. ``release_at``: the last response is
    unanswered, and until then nothing follows.
    ``refused``: names of which it has not accepted the last version, with the version that it was
    sent alone, empty if none. ``suspects``: those that are still to be sent alone, in this order.
    """

    rules: TypeRules
    subscription: Subscription = field(default_factory=Subscription)
    names: Names = field(default_factory=Names)
    dirty: set[str] = field(default_factory=set[str])
    whole: bool = False
    owed: bool = False
    nonce: str = ""
    unanswered: dict[str, Sent] = field(default_factory=dict[str, Sent])
    release_at: float | None = None
    refused: dict[str, str] = field(default_factory=dict[str, str])
    suspects: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def due(self) -> bool:
        """Whether there may be something to say."""
        return self.whole or self.owed or bool(self.dirty or self.suspects)

    def isolate(self) -> None:
        """If nothing else is due, the next suspect is. There must be one."""
        if not (self.whole or self.owed or self.dirty):
            name = next(iter(self.suspects))
            self.refused[name] = self.suspects.pop(name)
            self.dirty.add(name)

    def absolve(self, names: Iterable[str]) -> None:
        """The proxy refuses nothing of these any more."""
        for name in names:
            self.refused.pop(name, None)
            self.suspects.pop(name, None)

    def clear(self) -> None:
        """Everything has been considered."""
        self.whole = self.owed = False
        self.dirty.clear()

    def considered(self, table: Mapping[str, Resource]) -> list[str]:
        """The selected names that the next response is about, in a fixed order."""
        subscription = self.subscription
        names = {name for name in self.dirty if subscription.selects(name)}
        if self.whole:
            names |= subscription.names
            if subscription.wildcard:
                names |= table.keys()
        return sorted(names)


@dataclass(frozen=True, eq=False)
class Composed:
    """The content of a response. ``changed`` are those resources that are new in it, ``about``
    the names that it says something new of.

    Streams that are owed the same share it, and with it what is made of it once.
    """

    resources: Sequence[Resource]
    changed: tuple[Resource, ...]
    about: frozenset[str]
    removed: Sequence[str] = ()

    @cached_property
    def sotw(self) -> bytes:
        """The resources as part of a DiscoveryResponse."""
        return wire.sotw_body(self.resources)

    @cached_property
    def delta(self) -> bytes:
        """The resources and removals as part of a DeltaDiscoveryResponse."""
        return wire.delta_body(self.resources, self.removed)

    @cached_property
    def references(self) -> Mapping[TypeUrl, frozenset[str]]:
        """The names, by type, of what the changed resources name."""
        names: dict[TypeUrl, set[str]] = {}
        for resource in self.changed:
            for type_url, name in resource.references:
                names.setdefault(type_url, set()).add(name)
        return {type_url: frozenset(found) for type_url, found in names.items()}


class Request(Protocol):
    """What both kinds of request have."""

    @property
    def type_url(self) -> TypeUrl: ...
    @property
    def nonce(self) -> str: ...
    @property
    def error(self) -> str | None: ...
    @property
    def node_id(self) -> str: ...
    @property
    def resumes(self) -> bool: ...


R = TypeVar("R", bound=Request)


class Dialect(Protocol[R]):
    """SotW or delta. ``recalls``: a proxy that comes again says what it holds."""

    @property
    def recalls(self) -> bool: ...

    def partial(self, rules: TypeRules) -> bool:
        """Whether one resource of the type can be sent alone."""
        ...

    def node(self, raw: bytes) -> Node:
        """The node of a stream's first request. Raises ProtocolError."""
        ...

    def decode(self, raw: bytes, known: Iterable[Names]) -> R:
        """A request. Raises ProtocolError."""
        ...

    def subscribe(self, state: TypeState, request: R, view: Release, *, first: bool) -> None:
        """Fold a request into what the stream wants, and mark what it is owed."""
        ...

    def known(self, state: TypeState, request: R, view: Release) -> Set[str]:
        """The names that the proxy of a first request certainly holds."""
        ...

    def compose(self, state: TypeState, view: Release) -> Composed | None:
        """What the stream is owed of a type, None if nothing."""
        ...

    def encode(self, header: Header, composed: Composed) -> bytes:
        """A response."""
        ...


class Sotw:
    """State of the world: every request lists all names; absence is removal, for some types."""

    recalls = False

    def partial(self, rules: TypeRules) -> bool:
        return not rules.full_state

    def node(self, raw: bytes) -> Node:
        return wire.sotw_node(raw)

    def decode(self, raw: bytes, known: Iterable[Names]) -> SotwRequest:
        return wire.decode_sotw(raw, known)

    def subscribe(
        self, state: TypeState, request: SotwRequest, view: Release, *, first: bool
    ) -> None:
        known, state.names = state.names, request.names
        if request.names.values is known.values and not first:  # equal sets are one object
            return
        before = state.subscription
        after = before.replaced(request.names.values, legacy=state.rules.wildcard)
        state.subscription = after
        if first or (after.wildcard and not before.wildcard):
            state.whole = True
            state.owed = after.wildcard
        else:
            # Also at an unchanged version, also if it was sent before: the proxy may have
            # dropped it meanwhile.
            state.dirty |= after.names - before.names

    def known(self, state: TypeState, request: SotwRequest, view: Release) -> Set[str]:
        type_url = state.rules.type_url
        if not state.subscription.wildcard or request.version != view.version(type_url):
            return frozenset()
        return view.of_type(type_url).keys()

    def compose(self, state: TypeState, view: Release) -> Composed | None:
        table = view.of_type(state.rules.type_url)
        names = state.considered(table)
        found = table.pick(names)
        changed, about = tuple(found.values()), frozenset(names)
        if not state.rules.full_state:
            absent = (name for name in names if name not in found)
            resources = (*changed, *_made_of(state.rules, absent))
            return Composed(resources, changed, about) if resources or state.owed else None
        if not names and not state.owed:
            return None
        if state.subscription.wildcard:
            return Composed(tuple(table.values()), changed, about)
        selected = table.pick(sorted(state.subscription.names))
        return Composed(tuple(selected.values()), changed, about)

    def encode(self, header: Header, composed: Composed) -> bytes:
        return wire.encode_sotw(header, composed.sotw)


class Delta:
    """Incremental: requests add and drop names, responses carry changes and removals."""

    recalls = True

    def partial(self, rules: TypeRules) -> bool:
        return True

    def node(self, raw: bytes) -> Node:
        return wire.delta_node(raw)

    def decode(self, raw: bytes, known: Iterable[Names]) -> DeltaRequest:
        return wire.decode_delta(raw)

    def subscribe(
        self, state: TypeState, request: DeltaRequest, view: Release, *, first: bool
    ) -> None:
        before = state.subscription
        legacy = first and state.rules.wildcard
        after = before.amended(request.subscribe, request.unsubscribe, legacy=legacy)
        state.subscription = after
        if first and request.initial:
            state.dirty |= _outdated(state, request.initial, view)
            return
        if after.wildcard and (first or WILDCARD in request.subscribe):
            state.whole = state.owed = True
        state.dirty.update(_answerable(state.rules, request.subscribe, view))
        if after.wildcard:
            # The proxy asks what becomes of a name that it dropped but still gets by the wildcard.
            state.dirty |= before.names.intersection(request.unsubscribe)
        state.dirty -= {WILDCARD, ""}

    def known(self, state: TypeState, request: DeltaRequest, view: Release) -> Set[str]:
        return request.initial.keys()

    def compose(self, state: TypeState, view: Release) -> Composed | None:
        table = view.of_type(state.rules.type_url)
        names = state.considered(table)
        found = table.pick(names)
        absent = [name for name in names if name not in found]
        answers = list(_absences(state.rules, absent, view, gone=state.dirty))
        made = [answer for _, answer in answers if isinstance(answer, Resource)]
        removed = [name for name, answer in answers if answer is Missing.REMOVED]
        if not found and not answers and not state.owed:
            return None
        changed = tuple(found.values())
        return Composed((*changed, *made), changed, frozenset(names), removed)

    def encode(self, header: Header, composed: Composed) -> bytes:
        return wire.encode_delta(header, composed.delta)


def _outdated(state: TypeState, initial: Mapping[str, str], view: Release) -> set[str]:
    """The selected names of which the proxy holds something else than the view."""
    rules = state.rules
    table = view.of_type(rules.type_url)
    selected = set(state.subscription.names)
    if state.subscription.wildcard:
        selected.update(table, initial)
    found = table.pick(selected)
    stale = {name for name, resource in found.items() if initial.get(name) != resource.version}
    absent = selected - found.keys()
    unknown = set(_answerable(rules, absent - initial.keys(), view))
    return stale | unknown | _gone(rules, absent & initial.keys(), initial, view)


def _answerable(rules: TypeRules, names: Iterable[str], view: Release) -> Iterable[str]:
    """Of the names that a request adds, those that it gets an answer for.

    Where unknown names are met with silence, one that is absent and due was there before.
    """
    if rules.missing_delta is not Missing.SILENCE:
        return names
    return (name for name in names if view.get(Key(rules.type_url, name)) is not None)


def _gone(
    rules: TypeRules, names: Collection[str], initial: Mapping[str, str], view: Release
) -> set[str]:
    """Those of the names, which only the proxy knows, that it must hear of now.

    Clusters linger, and what goes with its parent is left alone until then.
    """
    answers = list(_absences(rules, names, view, gone=names))
    gone = {name for name, answer in answers if answer is Missing.REMOVED}
    if rules.removal is Removal.WITH_PARENT:
        view.spare(Key(rules.type_url, name) for name in sorted(gone))
    changed = {
        name
        for name, answer in answers
        if isinstance(answer, Resource) and answer.version != initial[name]
    }
    spared = rules.removal in (Removal.LINGER, Removal.WITH_PARENT)
    return changed if spared else changed | gone


def _absences(
    rules: TypeRules, names: Iterable[str], view: Release, *, gone: Container[str]
) -> Iterable[tuple[str, Resource | Missing]]:
    """What a delta stream hears of selected names that do not exist; silence is left out.

    ``gone``: the names that it may know.
    """
    told = rules.missing_delta is Missing.SILENCE and rules.removal is Removal.AT_ONCE
    named: frozenset[Key] | None = None
    for name in names:
        answer = Missing.REMOVED if told and name in gone else rules.missing_delta
        if answer is Missing.REMOVED and not isinstance(rules.missing_sotw, Missing):
            named = view.named() if named is None else named
            answer = rules.missing_sotw if Key(rules.type_url, name) in named else answer
        if not isinstance(answer, Missing):
            yield name, _made(rules.type_url, name, answer)
        elif answer is Missing.REMOVED:
            yield name, answer


def _made_of(rules: TypeRules, names: Iterable[str]) -> list[Resource]:
    """What a SotW stream hears of selected names that do not exist."""
    make = rules.missing_sotw
    return (
        [] if isinstance(make, Missing) else [_made(rules.type_url, name, make) for name in names]
    )


def _made(type_url: TypeUrl, name: str, make: Callable[[str], bytes]) -> Resource:
    body = make(name)
    return Resource(type_url, name, content_version(body), body)
