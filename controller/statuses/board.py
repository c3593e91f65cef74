"""What the status of each object says now, and of which objects it may have changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.statuses.conditions import Facts, status
from meltemi.controller.statuses.epochs import Epochs
from meltemi.controller.statuses.needs import Needs
from meltemi.controller.statuses.tally import LONGEST_WORDS, Tally, Words
from meltemi.controller.store.objects import Identity
from meltemi.controller.wall_time import utc_now
from meltemi.protocols.model import Ref
from meltemi.xds.resource import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from meltemi.controller.crds.status import Status
    from meltemi.controller.findings import Finding
    from meltemi.controller.statuses.epochs import Group as Number
    from meltemi.controller.statuses.epochs import Lag
    from meltemi.controller.store.store import ObjectState, Store
    from meltemi.protocols.group import Group, GroupKey
    from meltemi.protocols.problem import Problem
    from meltemi.xds.resource import TypeUrl
    from meltemi.xds.session import Event
    from meltemi.xds.status import Refusal
    from meltemi.xds.status import Status as Said
    from meltemi.xds.stream import Stream

GROUP_OF = {each.kind: each.group for each in DEFINITIONS if each.decoded is not None}
"""The kinds whose objects have a status, with the group of each."""

REFUSED = "MEL0503"
"""Told by the tally, which knows at once."""

LOOKS_AGAIN = 1.0
"""Seconds between two looks at proxies that are behind: what was due may have come to nothing."""


class Watch:
    """The objects whose status may have changed since the last ``take``, all of them at first."""

    def __init__(self, take: Callable[[Watch], frozenset[Identity]]) -> None:
        self.waiting: set[Identity] = set()
        self.wake = asyncio.Event()
        self.wake.set()
        self._take = take

    async def wait(self) -> None:
        """Until ``take`` may have something to give."""
        await self.wake.wait()

    def take(self) -> frozenset[Identity]:
        """Each once, however often it changed; one that is gone has no status any more."""
        return self._take(self)


class StatusBoard:
    """Statuses of the objects of a store, with what the streams say of them. ``said`` is what each
    of them refuses; ``observe`` as in ``Epochs``; ``clock`` gives the time in RFC 3339.
    """

    def __init__(
        self,
        store: Store,
        said: Said,
        observe: Callable[[float], object] = lambda _: None,
        clock: Callable[[], str] = utc_now,
    ) -> None:
        self._store = store
        self._said = said
        self._clock = clock
        self._epochs = Epochs(observe)
        self._needs = Needs(GROUP_OF)
        self._groups: dict[int, Group] = {}
        self._numbers: dict[GroupKey, Number] = {}
        self._opened = 0
        self._publishing = False
        self._lacking: dict[Ref, set[Number]] = {}
        self._problems: dict[Ref, dict[Problem, None]] = {}
        self._refused: dict[int, frozenset[Ref]] = {}
        self._refusing: dict[Ref, set[int]] = {}
        self._touched: set[Identity] = set()
        self._states: dict[Identity, ObjectState] = {}
        self._changed: set[Ref] = set()
        self._latest: dict[Identity, Status] = {}
        self._watches: list[Watch] = []

    # -- what is asked -----------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Identity]:
        """Every object that has a status."""
        return iter([*self._states])

    def current(self, identity: Identity) -> Status | None:
        """What the object's status says, as far as is known here; None if there is no object."""
        found = self.status(identity, before=self._latest.get(identity))
        if found is None:
            self._latest.pop(identity, None)
        else:
            self._latest[identity] = found
        return found

    def status(
        self, identity: Identity, others: Tally | None = None, before: Status | None = None
    ) -> Status | None:
        """The same together with the tallies of others, and times of what was said ``before``."""
        state = self._states.get(identity)
        if state is None:
            return None
        about = identity.ref()
        tally = self._tally(about, state)
        facts = Facts(
            about,
            state.generation,
            state.readable,
            self._needs.generation(about),
            tuple(self._problems.get(about, ())),
            tally if others is None else tally + others,
        )
        return status(facts, before, self._clock())

    def tally(self, identity: Identity) -> Tally | None:
        """What the proxies here say of the object; None if there is no object."""
        state = self._states.get(identity)
        return None if state is None else self._tally(identity.ref(), state)

    def uid(self, identity: Identity) -> str:
        """Of the object that statuses and tallies are about; empty if there is none."""
        state = self._states.get(identity)
        return "" if state is None else state.uid

    def watch(self) -> Watch:
        """Whoever wants to know what changed."""
        watch = Watch(self._take)
        watch.waiting.update(self._states)
        self._watches.append(watch)
        return watch

    # -- what happens ------------------------------------------------------------------------------

    def published(
        self,
        group: Group,
        streams: Iterable[Stream],
        changed: Iterable[Key],
        arrived: float | None,
    ) -> None:
        """A group has a new snapshot; its streams know it, and these keys are different, because of
        changes of which the oldest arrived then.
        """
        if not self._publishing:
            self._publishing = True
            self._epochs.now += 1
        self._fold(group)
        streams = tuple(streams)
        for stream in streams:
            if stream.number in self._refused:
                self._look_at_refusals(stream.number)
        self._epochs.published(streams, frozenset(key.type_url for key in changed), arrived)

    def settled(self, groups: Iterable[Group], *, held: bool) -> None:
        """A round is over. ``held``: some of what the store knows is not compiled yet."""
        self._publishing = False
        present = {id(group): group for group in groups}  # their keys take long to hash
        for closed in self._groups.keys() - present.keys():
            if (number := self._numbers.pop(self._groups[closed].key, None)) is not None:
                self._forget(number)
        self._groups = present
        for group in present.values():
            self._fold(group)
        self._touched |= {
            each for each in self._store.take_touched() if GROUP_OF.get(each.kind) == each.group
        }
        if not held:
            self._observe()
        self._stir()

    def joined(self, key: GroupKey, stream: Stream) -> None:
        """A stream of a proxy, which has introduced itself, is in a group."""
        node = self._said.numbered()[stream.number].node.id
        self._epochs.opened(stream.number, self._number(key), node, stream.session)
        self._stir()

    def said(self, stream: int, event: Event, now: float, *, refusals: bool) -> None:
        """Something happened on a stream. ``refusals``: it refuses something else than before."""
        self._epochs.said(stream, event, now)
        if refusals or stream in self._refused:
            self._look_at_refusals(stream)
        if refusals:
            self._changed |= self._refused.get(stream, frozenset())
        self._stir()

    def closed(self, stream: int) -> None:
        """A stream has ended."""
        self._epochs.closed(stream)
        self._refuse(stream, frozenset())
        self._stir()

    def found(self, appeared: Iterable[Finding], resolved: Iterable[Finding]) -> None:
        """What is wrong with objects has changed."""
        for finding in resolved:
            about = finding.problem.about.object
            if (known := self._problems.get(about)) is not None:
                known.pop(finding.problem, None)
                self._changed.add(about)
                if not known:
                    del self._problems[about]
        for finding in appeared:
            problem = finding.problem
            if problem.about.kind in GROUP_OF and problem.code != REFUSED:
                self._problems.setdefault(problem.about.object, {})[problem] = None
                self._changed.add(problem.about.object)
        self._stir()

    async def keep_looking(self) -> None:
        """Look again at proxies that are behind, for ever."""
        while True:
            await asyncio.sleep(LOOKS_AGAIN)
            self._epochs.look()
            self._stir()

    # -- how it comes about ------------------------------------------------------------------------

    def _number(self, key: GroupKey) -> Number:
        if (number := self._numbers.get(key)) is None:
            self._opened += 1
            number = self._numbers[key] = self._opened
        return number

    def _forget(self, number: Number) -> None:
        self._changed |= self._needs.drop(number)
        for about in [each for each, numbers in self._lacking.items() if number in numbers]:
            self._lack(about, number, lacking=False)

    def _lack(self, about: Ref, number: Number, *, lacking: bool) -> None:
        numbers = self._lacking.setdefault(about, set())
        (numbers.add if lacking else numbers.discard)(number)
        if not numbers:
            del self._lacking[about]

    def _fold(self, group: Group) -> None:
        retold, relacked = group.take_retold(), group.take_relacked()
        if not (retold or relacked):
            return
        number = self._number(group.key)
        self._changed |= self._needs.fold(number, group.snapshot, retold, self._epochs.now)
        for about in relacked:
            self._lack(about, number, lacking=group.lacking[about] > 0)
        self._changed |= relacked

    def _observe(self) -> None:
        """What the store knows of these objects is compiled and published."""
        for identity in self._touched:
            state = self._store.state(identity)
            if state is None:
                self._states.pop(identity, None)
            else:
                self._states[identity] = state
            self._changed.add(identity.ref())
        self._touched.clear()

    def _refusals(self, stream: int) -> Iterator[tuple[Refusal, set[Ref]]]:
        """What a stream refuses, with the objects behind that and behind what it does not ask for
        because of that: the routes of a listener that it refuses.
        """
        group, session = self._epochs.session(stream)
        for type_url, found in self._said.numbered()[stream].types.items():
            for refusal in found.refusals:
                accused = {each.object for each in refusal.origins if isinstance(each, Ref)}
                for name in refusal.names:
                    for child, objects in self._needs.named(group, Key(type_url, name)):
                        if not session.asks(child):
                            accused |= objects
                yield refusal, accused

    def _look_at_refusals(self, stream: int) -> None:
        accused = (objects for _, objects in self._refusals(stream))
        self._refuse(stream, frozenset[Ref]().union(*accused))

    def _refuse(self, stream: int, objects: frozenset[Ref]) -> None:
        before = self._refused.pop(stream, frozenset[Ref]())
        for about in before - objects:
            self._refusing[about].discard(stream)
            if not self._refusing[about]:
                del self._refusing[about]
        for about in objects - before:
            self._refusing.setdefault(about, set()).add(stream)
        if objects:
            self._refused[stream] = objects
        self._changed |= before ^ objects

    def _stir(self) -> None:
        if self._changed or self._epochs.turned:
            for watch in self._watches:
                watch.wake.set()

    def _take(self, watch: Watch) -> frozenset[Identity]:
        watch.wake.clear()
        turned, changed = self._epochs.take_turned(), self._changed
        self._changed = set()
        for group in turned.groups:
            changed |= self._needs.inside(group)
        for (group, type_url), epoch in turned.epochs.items():
            changed.update(self._needs.since(group, type_url, epoch))
        for group, keys in turned.held.items():
            changed |= self._needs.behind(group, keys)
        changed |= {each for each, groups in self._lacking.items() if groups & turned.groups}
        identities = {
            Identity(GROUP_OF[about.kind], *(about.kind, about.namespace, about.name))
            for about in changed
            if about.kind in GROUP_OF
        }
        for each in self._watches:
            each.waiting |= identities
        taken = frozenset(watch.waiting)
        watch.waiting.clear()
        return taken

    # -- tallies -----------------------------------------------------------------------------------

    def _tally(self, about: Ref, state: ObjectState) -> Tally:
        nacked, acked, pending, unsupported = 0, 0, 0, 0
        refusing, words = self._refusers(about)
        lacking = self._lacking.get(about, ())
        scope: dict[Number, Mapping[TypeUrl, int]] = {each: {} for each in lacking}
        scope |= self._needs.of(about)
        for group, needs in scope.items():
            others = self._epochs.proxies(group) - len(refusing.get(group, ()))
            nacked += len(refusing.get(group, ()))
            if group in lacking:
                unsupported += others
                continue
            late = sum(
                count
                for lag, count in self._epochs.lags(group).items()
                if self._late(about, group, needs, lag)
            )
            late -= sum(
                self._late(about, group, needs, lag) for lag in refusing.get(group, {}).values()
            )
            pending += late
            acked += others - late
        numbers = acked, nacked, pending, unsupported
        return Tally(state.generation, *numbers, words if nacked else None, state.uid)

    def _late(self, about: Ref, group: Number, needs: Mapping[TypeUrl, int], lag: Lag) -> bool:
        """Whether proxies with this lag may lack something of the object."""
        if any(lag.covers(type_url, epoch) for type_url, epoch in needs.items()):
            return True
        return bool(lag.held) and about in self._needs.behind(group, lag.held)

    def _refusers(self, about: Ref) -> tuple[Mapping[Number, Mapping[str, Lag]], Words | None]:
        """The proxies that refuse something of the object, by group and name, and what the first
        of them says.
        """
        found: dict[Number, dict[str, Lag]] = {}
        words: list[Words] = []
        for stream in self._refusing.get(about, ()):
            group, node, lag = self._epochs.lag(stream)
            found.setdefault(group, {})[node] = lag
            words += self._words(stream, node, about)
        return found, min(words, default=None)

    def _words(self, stream: int, node: str, about: Ref) -> Iterator[Words]:
        for refusal, accused in self._refusals(stream):
            if about in accused:
                yield Words(node, refusal.message.strip()[:LONGEST_WORDS])
