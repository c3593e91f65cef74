"""Which pieces must be compiled again after a change, and nothing else."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from meltemi.protocols.choice import speaker
from meltemi.protocols.frame import Frame
from meltemi.protocols.group import Group, GroupKey
from meltemi.protocols.lint import lint
from meltemi.protocols.piece import Piece, PieceKey, Reads, reassign
from meltemi.protocols.problem import Problem
from meltemi.protocols.routing import destinations
from meltemi.protocols.sight import look, policy_of, service_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meltemi.protocols.model import Dirty, Mesh, Ref
    from meltemi.protocols.registry import Registry
    from meltemi.protocols.sight import Sight

Reading = tuple[str, object]
"""("host", host), ("endpoints", host), ("secret", (namespace, name)) or ("application", name)."""


@dataclass(slots=True)
class _Shared:
    """A piece and the groups that have it."""

    piece: Piece
    groups: set[GroupKey] = field(default_factory=set[GroupKey])


class Compiler:
    """The pieces of all groups, kept up to date with the mesh.

    ``open`` and ``update`` are generators of pieces: the caller may do other work between two of
    them, and nothing is visible in a group's snapshot before they end. ``check_interval``: seconds
    between active health checks. ``allowed``: engines that serve only where they may, and may
    everywhere. ``exposed``: anybody may read what is compiled, so no password is in it.
    """

    def __init__(
        self,
        registry: Registry,
        mesh: Mesh,
        *,
        check_interval: float = 1.0,
        allowed: frozenset[str] = frozenset(),
        exposed: bool = False,
    ) -> None:
        self._registry = registry
        self._mesh = mesh
        self._check_interval = check_interval
        self._allowed = allowed
        self._exposed = exposed
        self._groups: dict[GroupKey, Group] = {}
        self._shared: dict[PieceKey, _Shared] = {}
        self._readers: dict[Reading, set[PieceKey]] = {}
        self._last_good: dict[str, dict[tuple[object, ...], Piece]] = {}
        self._lint: dict[str, tuple[Problem, ...]] = {}
        self.failures: dict[PieceKey, str] = {}
        """Tracebacks of plugins that raised, by piece, until it compiles again."""

    def open(self, key: GroupKey) -> Iterator[None]:
        """Compile everything that a new group sees. Without effect on a group that is open."""
        if key in self._groups:
            return
        group = Group(key)
        yield from self._settle(group, self._mesh.services.keys(), frozenset())
        group.commit()
        group.take_changed()  # nobody has seen it yet, so nothing has changed for anybody
        self._groups[key] = group

    def close(self, key: GroupKey) -> None:
        """Forget a group."""
        group = self._groups.pop(key)
        for piece_key in [piece.key for piece in group.pieces()]:
            self._leave(group, piece_key)

    def group(self, key: GroupKey) -> Group:
        """An open group."""
        return self._groups[key]

    def groups(self) -> Iterable[Group]:
        """All open groups."""
        return self._groups.values()

    def lint(self, hosts: Iterable[str]) -> None:
        """Look again at objects that contradict each other, whatever proxies there are."""
        for host in hosts:
            if problems := tuple(lint(self._mesh, host)):
                self._lint[host] = problems
            else:
                self._lint.pop(host, None)

    def update(self, dirty: Dirty) -> Iterator[None]:
        """Compile what a change touches; groups whose snapshot changed say so by ``changed``."""
        self.lint(dirty.hosts)
        touched = self._reading("host", dirty.hosts)
        stale = touched | self._reading("secret", dirty.secrets)
        stale |= self._reading("application", dirty.applications)
        affected = dirty.hosts | {key.host for key in touched}
        recompiled: set[PieceKey] = set()
        for group in [*self._groups.values()]:
            yield from self._settle(group, affected, stale, recompiled)
        for key in stale - recompiled:
            if key in self._shared:
                self._renew(key)
                yield
        for group in [*self._groups.values()]:
            yield from self._settle(group, group.take_crossed(), frozenset(), recompiled)
        for key in self._reading("endpoints", dirty.endpoints) - recompiled:
            if (shared := self._shared.get(key)) is not None:
                self._replace(shared, reassign(shared.piece, self._mesh))
        for group in self._groups.values():
            group.commit()

    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong now, each once, in a stable order."""
        found = {problem: None for problems in self._lint.values() for problem in problems}
        for shared in self._shared.values():
            found |= dict.fromkeys(shared.piece.problems)
            found |= dict.fromkeys(shared.piece.endpoint_problems)
        for group in self._groups.values():
            found |= dict.fromkeys(group.problems())
        return tuple(sorted(found, key=lambda p: (p.about.object, p.code, p.about.field, p.cause)))

    # -- membership ------------------------------------------------------------------------------

    def _settle(
        self,
        group: Group,
        hosts: Iterable[str],
        stale: frozenset[PieceKey] | set[PieceKey],
        recompiled: set[PieceKey] | None = None,
    ) -> Iterator[None]:
        """Give a group the pieces that it should have of these hosts, and of the hosts that their
        routes lead to.
        """
        recompiled = set() if recompiled is None else recompiled
        queue = dict.fromkeys(hosts)
        while queue:
            host = next(iter(queue))
            del queue[host]
            wanted = dict(self._wanted(group, host))
            for key in set(group.hosts.get(host, ())) - wanted.keys():
                self._leave(group, key)
            for key, sight in wanted.items():
                if key not in self._shared or (key in stale and key not in recompiled):
                    self._compile(key, sight, group.key.namespace)
                    recompiled.add(key)
                    yield
                self._join(group, key, full=group.key.selects(sight.service))
            group.hosts[host] = tuple(wanted)
            if not wanted:
                del group.hosts[host]
            if host not in self._mesh.services:
                self._last_good.pop(host, None)
            queue |= dict.fromkeys(sorted(group.take_crossed()))

    def _wanted(self, group: Group, host: str) -> Iterator[tuple[PieceKey, Sight]]:
        sight = look(self._mesh, host, group.key.namespace)
        if sight is None:
            return
        selected = group.key.selects(sight.service)
        if not selected and not group.imports[host]:
            return
        chosen = (*sight.chosen(), *self._destinations(sight, group.key.namespace))
        for port in sight.service.ports:
            listen = group.key.listen(sight.service, port)
            entrances = group.key.entrances(sight.service)
            yield PieceKey(host, port.number, group.key.target, listen, chosen, entrances), sight

    def _destinations(self, sight: Sight, namespace: str) -> Iterator[Ref | None]:
        """The objects behind a rule's destinations, which may depend on the client's namespace."""
        if sight.rule is None:
            return
        for host in sorted({destination.host for destination in destinations(sight.rule)}):
            service = service_of(self._mesh, host, namespace)
            policy = policy_of(self._mesh, service, namespace) if service else None
            yield service.ref.object if service else None
            yield policy.ref.object if policy else None

    def _join(self, group: Group, key: PieceKey, *, full: bool) -> None:
        shared = self._shared[key]
        known = group.piece(key)
        if known is not shared.piece or full != (key in group.full):
            group.put(shared.piece, full=full)
        shared.groups.add(group.key)

    def _leave(self, group: Group, key: PieceKey) -> None:
        shared = self._shared[key]
        group.drop(key)
        shared.groups.discard(group.key)
        if not shared.groups:
            self._index(shared.piece.reads, key, add=False)
            del self._shared[key]
            self.failures.pop(key, None)

    # -- compilation -----------------------------------------------------------------------------

    def _renew(self, key: PieceKey) -> None:
        """Compile a piece again whose key did not change."""
        namespace = min(self._shared[key].groups, key=lambda group: group.namespace).namespace
        if (sight := look(self._mesh, key.host, namespace)) is not None:
            self._compile(key, sight, namespace)

    def _compile(self, key: PieceKey, sight: Sight, namespace: str) -> None:
        port = sight.service.port(key.port)
        assert port is not None, "a piece key is made from the service's ports"
        last_good = self._last_good.setdefault(key.host, {})
        identity = (key.port, key.target, key.listen)
        frame = Frame(
            self._registry,
            self._mesh,
            namespace,
            sight,
            port,
            key,
            self._check_interval,
            self._allowed,
            self._exposed,
        )
        try:
            piece = frame.compile()
            self.failures.pop(key, None)
            last_good[identity] = piece
        except Exception as error:  # a plugin may raise anything; its service keeps what it had
            self.failures[key] = traceback.format_exc()
            piece = self._failed(key, sight, error, last_good.get(identity))
        if (shared := self._shared.get(key)) is None:
            self._shared[key] = _Shared(piece)
            self._index(piece.reads, key, add=True)
        else:
            self._replace(shared, piece)

    def _failed(self, key: PieceKey, sight: Sight, error: Exception, good: Piece | None) -> Piece:
        port = sight.service.port(key.port)
        registered = speaker(self._registry, self._mesh, port) if port else None
        blame = f"{registered.distribution} {registered.version}" if registered else "Meltemi"
        problem = Problem(
            "MEL0502",
            sight.service.ref,
            f"the plugin for port {key.port} of distribution {blame} raised {error!r}"
            + ("; its last good configuration stays" if good else ""),
            "report it to the plugin's author; the log has the traceback",
        )
        if good is None:
            return Piece.empty(key, Reads(hosts=frozenset({key.host})), (problem,))
        reads = replace(good.reads, hosts=good.reads.hosts | {key.host})
        stale = replace(good, key=key, reads=reads, problems=(*good.problems, problem))
        return reassign(stale, self._mesh)

    def _replace(self, shared: _Shared, piece: Piece) -> None:
        """A piece's new state, in the index and in every group that has it."""
        old, shared.piece = shared.piece, piece
        if old.reads != piece.reads:
            self._index(old.reads, old.key, add=False)
            self._index(piece.reads, piece.key, add=True)
        for group_key in shared.groups:
            if (group := self._groups.get(group_key)) is not None:
                group.put(piece, full=piece.key in group.full)

    def _index(self, reads: Reads, key: PieceKey, *, add: bool) -> None:
        readings: Iterator[Reading] = (
            (kind, name)
            for kind, names in (
                ("host", reads.hosts),
                ("endpoints", reads.endpoints),
                ("secret", reads.secrets),
                ("application", reads.applications),
            )
            for name in names
        )
        for reading in readings:
            if add:
                self._readers.setdefault(reading, set()).add(key)
            elif (keys := self._readers.get(reading)) is not None:
                keys.discard(key)
                if not keys:
                    del self._readers[reading]

    def _reading(self, kind: str, names: Iterable[object]) -> set[PieceKey]:
        return {key for name in names for key in self._readers.get((kind, name), ())}
