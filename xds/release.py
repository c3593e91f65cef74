"""When a stream may see what its snapshot wants: make before break.

A ``Release`` stands between one stream and the snapshot that it shares with many. What the stream
sees (the view) is the snapshot under a small overlay of the resources that are

* *held*: a resource of a gated type that names a cluster which the proxy has not settled yet stays
  as it was (or absent). A proxy answers a CDS response only when all its clusters are warm, so the
  answer to the response that carried the cluster, or to a later one, settles it, and no waiting
  by the clock is needed; a limit remains for the proxy that never answers.
* *leaving*: a cluster that is gone from the snapshot lingers, with its assignment, because
  draining listeners still use it.

Before the first CDS response of a stream is answered, gated types wait as a whole.

The place of staging (a change goes to one proxy first, and to the rest when it has accepted) is
here: another reason to hold a resource.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from meltemi.xds.resource import Key, Removal
from meltemi.xds.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Mapping, Set

    from meltemi.xds.resource import Resource, TypeRules, TypeUrl
    from meltemi.xds.snapshot import Snapshot
    from meltemi.xds.table import Table

PATIENCE = 2.0
"""Seconds beyond the longest warming after which an unanswered CDS response counts as settled."""


class _Sent(NamedTuple):
    """The response that carried a new cluster, and when to stop waiting for its answer."""

    number: int | None = None
    deadline: float | None = None


# Also what a refused cluster falls back to: it is not at the proxy.
_UNSENT = _Sent()


class Release:
    """What one stream sees of its snapshot. Time is a parameter, in seconds of any steady clock.

    ``drain``: how long a cluster lingers. The cluster type is the one whose rules say
    ``Removal.LINGER``; without such a type nothing is held and nothing lingers.
    """

    def __init__(
        self, snapshot: Snapshot, rules: Mapping[TypeUrl, TypeRules], drain: float
    ) -> None:
        self._snapshot = snapshot
        self._rules = rules
        self._drain = drain
        lingering = (kind for kind, rule in rules.items() if rule.removal is Removal.LINGER)
        self._clusters = next(lingering, None)
        self._asked = Subscription()
        self._first: _Sent | None = None
        self._fresh: dict[str, _Sent] = {}
        self._held: set[Key] = set()
        self._leaving: dict[str, float | None] = {}
        self._spared: tuple[Key, ...] = ()
        self._overlay: dict[TypeUrl, dict[str, Resource | None]] = {}

    # What the stream sees

    def get(self, key: Key) -> Resource | None:
        """One resource of the view."""
        covered = self._overlay.get(key.type_url)
        if covered is not None and key.name in covered:
            return covered[key.name]
        return self._snapshot.get(key)

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot, while the stream sees it as it is."""
        return None if self._overlay else self._snapshot

    def of_type(self, type_url: TypeUrl) -> Table[Resource]:
        """The view's resources of a type, by name."""
        table = self._snapshot.of_type(type_url)
        covered = self._overlay.get(type_url)
        return table if covered is None else table.replace(covered)

    def version(self, type_url: TypeUrl) -> str:
        """The version of the view's resources of a type."""
        return self._snapshot.version(type_url, self._overlay.get(type_url, {}))

    def named(self) -> frozenset[Key]:
        """Everything that a cluster of the view names."""
        clusters = self.of_type(self._clusters).values() if self._clusters else ()
        return frozenset(key for cluster in clusters for key in cluster.references)

    @property
    def waiting(self) -> bool:
        """Whether gated types must wait for the answer to the stream's first CDS response."""
        return self._first is not None

    @property
    def held(self) -> Set[Key]:
        """What stays as it was until clusters are settled that it names."""
        return self._held

    @property
    def lingering(self) -> bool:
        """Whether clusters are on their way out."""
        return bool(self._leaving)

    @property
    def leaving(self) -> int:
        """How many clusters are on their way out."""
        return len(self._leaving)

    @property
    def resting(self) -> bool:
        """Whether time alone changes nothing, and the stream sees its snapshot as it is."""
        return not (self._first or self._fresh or self._leaving or self._spared or self._overlay)

    # What happens

    def resume(self, now: float) -> None:
        """The proxy reconnects: its clusters come first, though it may ask for others first."""
        if self._clusters and not self._asked and self._snapshot.of_type(self._clusters):
            self._first = _Sent(None, now + _limit(self._cluster_table().values()))

    def subscribe(self, asked: Subscription, known: Set[str]) -> None:
        """The stream asks for clusters for the first time; the proxy holds ``known`` ones."""
        self._asked = asked
        for name in [name for name in self._leaving if not asked.selects(name)]:
            self._forget_leaving(name)
        names = self._cluster_table().keys()
        selected = names if asked.wildcard else names & asked.names
        self._first = None if selected <= known else _UNSENT

    def adopt(self, names: Set[str]) -> None:
        """The proxy holds clusters of these names, perhaps unknown here: those linger anew."""
        for name in names - self._cluster_table().keys():
            if self._asked.selects(name):
                self._leaving[name] = None

    def spare(self, keys: Iterable[Key]) -> None:
        """The proxy holds these, which nobody here knows: perhaps for a cluster that lingers."""
        self._spared = (*self._spared, *keys)

    def follow(self, asked: Subscription) -> Collection[Key]:
        """The stream asks for other clusters. Returns what it sees differently now."""
        self._asked = asked
        for name in [name for name in self._fresh if not asked.selects(name)]:
            del self._fresh[name]
        return self._settle()

    def update(self, snapshot: Snapshot, changed: Collection[Key]) -> Collection[Key]:
        """The snapshot changed in these keys. Returns those that the stream sees differently."""
        before = {key: self.get(key) for key in changed}
        calm = self.resting and all(key.type_url != self._clusters for key in changed)
        self._snapshot = snapshot
        if calm:
            return [key for key in changed if _version(snapshot.get(key)) != _version(before[key])]
        # Clusters first: whether the others are held or linger depends on them.
        clusters = [key for key in changed if key.type_url == self._clusters]
        others = [key for key in changed if key.type_url != self._clusters]
        seen = [key for key in clusters if self._place_cluster(key, before[key])]
        leaving = self._named_by_leaving()
        seen += [key for key in others if self._place(key, before[key], leaving)]
        # What comes back as it was, also while it lingers, is nothing new.
        news = {key for key in seen if _version(self.get(key)) != _version(before[key])}
        return news.union(self._settle())

    def sent(self, number: int, clusters: Collection[Resource], now: float) -> None:
        """A CDS response went out; ``number`` grows with every response of the stream."""
        if self._first is not None and self._first.number is None:
            self._first = _Sent(number, now + _limit(clusters))
        if not self._fresh:
            return
        fresh = [cluster for cluster in clusters if self._fresh.get(cluster.name) == _UNSENT]
        limit = now + _limit(fresh)
        self._fresh.update((cluster.name, _Sent(number, limit)) for cluster in fresh)

    def complete(self) -> None:
        """There is no cluster to send: what waits for the first ones waits no longer."""
        if self._first == _UNSENT:
            self._first = None

    def answered(self, number: int, refused: Container[str]) -> Collection[Key]:
        """The CDS response ``number``, and all before it, is answered.

        ``refused`` are the clusters that a NACK names: what names them stays held until they
        change. Returns what the stream sees differently now.
        """
        if self._first is not None and _covers(number, self._first):
            self._first = None
        for name in [name for name, sent in self._fresh.items() if _covers(number, sent)]:
            if name in refused:
                self._fresh[name] = _UNSENT
            else:
                del self._fresh[name]
        return self._settle()

    def tick(self, now: float, *, quiet: bool) -> Collection[Key]:
        """Time has passed. Returns what the stream sees differently now.

        ``quiet``: the proxy has accepted all gated resources that it should have. Until then no
        cluster is removed, and the time of none begins: a proxy that accepts late what no longer
        names a cluster begins late to drain the connections that use it.
        """
        if self._first is not None and _over(self._first.deadline, now):
            self._first = None
        for name in [name for name, sent in self._fresh.items() if _over(sent.deadline, now)]:
            del self._fresh[name]
        if quiet and not self.waiting:
            self._start_clocks(now)
        gone = [name for name, due in self._leaving.items() if quiet and _over(due, now)]
        for name in gone:
            self._fresh.pop(name, None)
            self._forget_leaving(name)
        return [
            *(Key(self._clusters or "", name) for name in gone),
            *self._give_up(),
            *self._settle(),
        ]

    def deadline(self, *, quiet: bool) -> float | None:
        """When ``tick`` will have something to do, if nothing else happens before."""
        waits = [sent.deadline for sent in self._fresh.values()]
        if self._first is not None:
            waits.append(self._first.deadline)
        if quiet:
            waits += self._leaving.values()
        return min((wait for wait in waits if wait is not None), default=None)

    # How it comes about

    def _cluster_table(self) -> Table[Resource]:
        return self._snapshot.of_type(self._clusters or "")

    def _place_cluster(self, key: Key, before: Resource | None) -> bool:
        if self._snapshot.get(key) is None:
            return self._leave(key, before)
        if key.name in self._leaving:
            self._forget_leaving(key.name)
        elif before is None and self._asked.selects(key.name):
            self._fresh[key.name] = _UNSENT
        return True

    def _leave(self, key: Key, before: Resource | None) -> bool:
        if self._fresh.get(key.name) == _UNSENT:
            del self._fresh[key.name]
        elif before is not None and self._may_hold(key.name):
            self._cover(key, before)
            self._leaving[key.name] = None
            return False
        return True

    def _may_hold(self, cluster: str) -> bool:
        """One that reconnects may hold what was here when it came, before it asks for it."""
        reconnecting = self._first is not None and not self._asked
        return reconnecting or self._asked.selects(cluster)

    def _place(self, key: Key, before: Resource | None, leaving: Container[Key]) -> bool:
        wanted = self._snapshot.get(key)
        rules = self._rules.get(key.type_url)
        if wanted is not None and rules is not None and rules.gated and self._unsettled(wanted):
            self._held.add(key)
            self._cover(key, before)
            return False
        if wanted is None and key in leaving:
            self._cover(key, before)
            return False
        self._held.discard(key)
        self._uncover(key)
        return True

    def _settle(self) -> list[Key]:
        """Let go of what has no reason left to be covered."""
        if not self._overlay and not self._leaving:
            return []
        lifted = [key for key in self._held if not self._still_held(key)]
        self._held.difference_update(lifted)
        named = self._named_by_leaving()
        lifted += [key for key in self._orphans() if key not in named]
        for key in lifted:
            self._uncover(key)
        return lifted

    def _still_held(self, key: Key) -> bool:
        wanted = self._snapshot.get(key)
        return wanted is not None and self._unsettled(wanted)

    def _unsettled(self, resource: Resource) -> bool:
        if not self._fresh:
            return False
        return any(
            key.type_url == self._clusters and key.name in self._fresh
            for key in resource.references
        )

    def _named_by_leaving(self) -> frozenset[Key]:
        covered = self._overlay.get(self._clusters or "", {})
        return frozenset(
            key
            for name in self._leaving
            if (cluster := covered.get(name)) is not None
            for key in cluster.references
        )

    def _orphans(self) -> list[Key]:
        """What lingers with a leaving cluster: everything covered that is not held or a cluster."""
        return [
            key
            for type_url, covered in self._overlay.items()
            if type_url != self._clusters
            for name in covered
            if (key := Key(type_url, name)) not in self._held
        ]

    def _start_clocks(self, now: float) -> None:
        """A cluster's time runs from when nothing that the stream still sees names it."""
        held = (self.get(key) for key in self._held)
        named = {key.name for resource in held if resource for key in resource.references}
        for name, due in self._leaving.items():
            if due is None and name not in named:
                self._leaving[name] = now + self._drain

    def _give_up(self) -> Iterable[Key]:
        """What was spared, once no cluster can need it any more."""
        asked = self._asked.wildcard or self._asked.named
        if self._leaving or (self._clusters and not asked):
            return ()
        spared, self._spared = self._spared, ()
        return (key for key in spared if self.get(key) is None)

    def _forget_leaving(self, name: str) -> None:
        del self._leaving[name]
        self._uncover(Key(self._clusters or "", name))

    def _cover(self, key: Key, resource: Resource | None) -> None:
        self._overlay.setdefault(key.type_url, {})[key.name] = resource

    def _uncover(self, key: Key) -> None:
        covered = self._overlay.get(key.type_url, {})
        covered.pop(key.name, None)
        if not covered:
            self._overlay.pop(key.type_url, None)


def _version(resource: Resource | None) -> str | None:
    return None if resource is None else resource.version


def _limit(clusters: Iterable[Resource]) -> float:
    return max((cluster.warming for cluster in clusters), default=0.0) + PATIENCE


def _covers(number: int, sent: _Sent) -> bool:
    return sent.number is not None and sent.number <= number


def _over(deadline: float | None, now: float) -> bool:
    return deadline is not None and deadline <= now
