"""A group of proxies that see and can do the same, and the snapshot that they share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from envoy_data_plane.envoy.service.runtime.v3 import Runtime
from envoy_data_plane.google.protobuf import Struct

from meltemi.protocols import naming
from meltemi.protocols.claims import Claims
from meltemi.protocols.encode import encode
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem
from meltemi.xds.resource import RUNTIME, Key, Resource, content_version
from meltemi.xds.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    from meltemi.protocols.api import SocketAddress, Target
    from meltemi.protocols.model import Port, Service
    from meltemi.protocols.piece import Piece, PieceKey

VIP = "vip"
"""The bind of a proxy that listens on the services' own addresses."""

NOWHERE = ""
"""The bind of a group without proxies, opened to see what is wrong: it has no listeners."""

NO_ENGINE = "MEL0501"
INEXPRESSIBLE = frozenset({"MEL0306", "MEL0408", "MEL0410"})
"""Problems that other proxies need not have: of their objects a part is left out."""


@dataclass(frozen=True, slots=True)
class GroupKey:
    """What makes two proxies interchangeable.

    ``bind`` is an IP address or ``vip``. ``services`` narrows what is visible to the namespace:
    patterns ``namespace/host`` or ``*``. ``ports`` maps ``host:port`` to the port that the
    listener has instead.
    """

    target: Target
    namespace: str = "default"
    bind: str = "127.0.0.1"
    services: frozenset[str] = frozenset({"*"})
    ports: tuple[tuple[str, int], ...] = ()

    def selects(self, service: Service) -> bool:
        """Whether listeners are wanted for the service."""
        if "*" in self.services:
            return True
        return any(self._matches(pattern, service) for pattern in self.services)

    def _matches(self, pattern: str, service: Service) -> bool:
        namespace, _, host = pattern.rpartition("/")
        if namespace == ".":
            namespace = self.namespace
        hosts = {"*", service.host, service.part_of or service.host}
        return namespace in {"", "*", service.namespace} and host in hosts

    def listen(self, service: Service, port: Port) -> tuple[SocketAddress, ...]:
        """Where the listeners of a service's port are; none where there is no address."""
        if not port.listens:
            return ()
        return self._at(service.host, port.number, service.addresses)

    def entrances(self, service: Service) -> tuple[tuple[str, tuple[SocketAddress, ...]], ...]:
        """Where the proxies listen for the brokers of the service's Kafka, by host."""
        brokers = service.kafka.brokers if service.kafka else ()
        numbers = {broker.entrance: broker.port for broker in brokers}
        return tuple((host, self._at(host, numbers[host], service.addresses)) for host in numbers)

    def _at(self, host: str, port: int, vips: tuple[str, ...]) -> tuple[SocketAddress, ...]:
        if self.bind == NOWHERE:
            return ()
        number = dict(self.ports).get(f"{host}:{port}", port)
        return tuple((address, number) for address in (vips if self.bind == VIP else (self.bind,)))


class _Runtime(NamedTuple):
    """What a piece has in the runtime layer, and the objects that this came from."""

    values: Mapping[str, float]
    origins: tuple[Hashable, ...]


@dataclass(slots=True)
class Group:
    """The pieces of one group and what they add up to.

    A piece is here in full, or only with its clusters, when only a route of another service leads
    there. Of two pieces that want one address, one has it (``claims.py``). ``lacking``: objects of
    which these proxies have something not, as they cannot or as another one has its address, by
    the number of pieces.
    """

    key: GroupKey
    snapshot: Snapshot = field(default_factory=Snapshot)
    hosts: dict[str, tuple[PieceKey, ...]] = field(
        default_factory=dict["str", "tuple[PieceKey, ...]"]
    )
    full: set[PieceKey] = field(default_factory=set["PieceKey"])
    imports: Counter[str] = field(default_factory=Counter[str])
    changed: set[Key] = field(default_factory=set[Key])
    lacking: Counter[Ref] = field(default_factory=Counter["Ref"])
    _retold: set[Key] = field(default_factory=set[Key])
    _relacked: set[Ref] = field(default_factory=set["Ref"])
    _unable: dict[PieceKey, frozenset[Ref]] = field(
        default_factory=dict["PieceKey", "frozenset[Ref]"]
    )
    _crossed: set[str] = field(default_factory=set[str])
    _pieces: dict[PieceKey, Piece] = field(default_factory=dict["PieceKey", "Piece"])
    _given: dict[PieceKey, Mapping[Key, Resource]] = field(
        default_factory=dict["PieceKey", "Mapping[Key, Resource]"]
    )
    _claims: Claims = field(default_factory=Claims)
    _pending: dict[Key, Resource | None] = field(default_factory=dict["Key", "Resource | None"])
    _runtimes: dict[PieceKey, _Runtime] = field(default_factory=dict["PieceKey", "_Runtime"])
    _runtime_stale: bool = True

    def put(self, piece: Piece, *, full: bool) -> None:
        """Add a piece, or its new state."""
        key = piece.key
        self._lead(self._pieces[key] if key in self.full else None, piece if full else None)
        self._pieces[key] = piece
        (self.full.add if full else self.full.discard)(key)
        self._set_runtime(piece, wanted=full)
        if full and piece.listeners:
            self._claims.claim(key)
        else:
            self._claims.leave(key)
        self._give(key)

    def drop(self, key: PieceKey) -> None:
        """Remove a piece."""
        piece = self._pieces.pop(key)
        self._lead(piece if key in self.full else None, None)
        self.full.discard(key)
        self._set_runtime(piece, wanted=False)
        self._pending |= dict.fromkeys(self._given.pop(key, {}))
        self._lack(key, frozenset())
        self._claims.leave(key)

    def piece(self, key: PieceKey) -> Piece | None:
        """The present state of a piece."""
        return self._pieces.get(key)

    def pieces(self) -> Iterable[Piece]:
        """All pieces, those that are here only with their clusters included."""
        return self._pieces.values()

    def commit(self) -> bool:
        """Fold what was put and dropped into the snapshot; whether anything changed."""
        for key in self._claims.settle():
            self._give(key)
        if self._runtime_stale and self.key.target.rtds:
            resource = self._runtime()
            self._pending[resource.key] = resource
        self._runtime_stale = False
        changes = {
            key: resource
            for key, resource in self._pending.items()
            if not _same(self.snapshot.get(key), resource)
        }
        self._pending.clear()
        different = {
            key
            for key, resource in changes.items()
            if resource is None or _version(self.snapshot.get(key)) != resource.version
        }
        self.snapshot = self.snapshot.replace(changes) if changes else self.snapshot
        self._retold |= changes.keys()
        self.changed |= different
        return bool(different)

    def take_changed(self) -> frozenset[Key]:
        """What changed since the last call."""
        changed = frozenset(self.changed)
        self.changed.clear()
        return changed

    def take_retold(self) -> frozenset[Key]:
        """What changed since the last call, also where only its origins are others."""
        retold = frozenset(self._retold)
        self._retold.clear()
        return retold

    def take_relacked(self) -> frozenset[Ref]:
        """Of which objects these proxies lack more or less than at the last call."""
        relacked = frozenset(self._relacked)
        self._relacked.clear()
        return relacked

    def take_crossed(self) -> frozenset[str]:
        """Hosts that routes began or ceased to lead to since the last call, where that decides
        what the group needs of them.
        """
        crossed = frozenset[str]() if "*" in self.key.services else frozenset(self._crossed)
        self._crossed.clear()
        return crossed

    def problems(self) -> Iterable[Problem]:
        """What is wrong on these proxies only."""
        yield from self._clashes()
        for key in self.full if self.key.bind == VIP else ():
            if not key.listen:
                yield Problem(
                    "MEL0205",
                    self._about(key),
                    f"the proxies bind to virtual IPs, and {key.host} has no address",
                    "give the service an address, or the proxy an address to bind to",
                )

    def _clashes(self) -> Iterable[Problem]:
        """Listeners that are left out because another one has their address."""
        for (address, number), (host, port), loser in self._claims.clashes():
            yield Problem(
                "MEL0204" if self.key.bind == VIP else "MEL0208",
                self._about(loser),
                f"{host} port {port} has {address}:{number} already, so "
                f"{loser.host} port {loser.port} has no listener on these proxies",
                "map one of them with `ports` in the node metadata, or bind to virtual IPs",
            )

    def _lead(self, before: Piece | None, after: Piece | None) -> None:
        """Count the other hosts that full pieces lead to."""
        old = before.reads.hosts - {before.key.host} if before else frozenset[str]()
        new = after.reads.hosts - {after.key.host} if after else frozenset[str]()
        self.imports.subtract(old - new)
        self.imports.update(new - old)
        self._crossed |= {host for host in old - new if not self.imports[host]}
        self._crossed |= {host for host in new - old if self.imports[host] == 1}

    def _about(self, key: PieceKey) -> Ref:
        return key.chosen[0] or Ref("Service", "", key.host)

    def _give(self, key: PieceKey) -> None:
        """Set down what a piece contributes now."""
        piece = self._pieces[key]
        wanted = self._contribution(piece)
        lost = key in self.full and len(wanted) < len(piece.resources)
        self._lack(key, frozenset(_unable(piece, lost=lost)) if key in self.full else frozenset())
        given = self._given.get(key, {})
        self._pending |= dict.fromkeys(given.keys() - wanted.keys())
        self._pending |= wanted
        self._given[key] = wanted

    def _lack(self, key: PieceKey, objects: frozenset[Ref]) -> None:
        before = self._unable.pop(key, frozenset[Ref]())
        self.lacking.subtract(before - objects)
        self.lacking.update(objects - before)
        self._relacked |= before ^ objects
        if objects:
            self._unable[key] = objects

    def _contribution(self, piece: Piece) -> Mapping[Key, Resource]:
        if piece.key not in self.full:
            return piece.own_clusters()
        # A piece that never compiled has no listeners.
        lost = {
            listener
            for address, listener in zip(piece.key.listen, piece.listeners, strict=False)
            if not self._claims.holds(piece.key, address)
        }
        if not lost:
            return piece.resources
        return {key: found for key, found in piece.resources.items() if key not in lost}

    def _set_runtime(self, piece: Piece, *, wanted: bool) -> None:
        origins = (piece.resources[key].origins for key in piece.listeners)
        found = _Runtime(piece.runtime, tuple(ref for refs in origins for ref in refs))
        after = found if wanted and piece.runtime else None
        if after == self._runtimes.get(piece.key):
            return
        self._runtime_stale = True
        if after is not None:
            self._runtimes[piece.key] = after
        else:
            del self._runtimes[piece.key]

    def _runtime(self) -> Resource:
        """The one layer of ours: a layer is replaced as a whole, so it holds all keys."""
        found = [self._runtimes[key] for key in sorted(self._runtimes, key=_precedence)]
        values = {name: value for each in found for name, value in each.values.items()}
        origins = dict.fromkeys(origin for each in found for origin in each.origins)
        layer = Struct.from_dict(dict(sorted(values.items())))
        body = encode(Runtime(name=naming.RUNTIME_LAYER, layer=layer))
        return Resource(
            RUNTIME, naming.RUNTIME_LAYER, content_version(body), body, origins=tuple(origins)
        )


def _unable(piece: Piece, *, lost: bool) -> Iterable[Ref]:
    """The objects of which something is left out. ``lost``: it has not all its listeners."""
    if lost or any(problem.code == NO_ENGINE for problem in piece.problems):
        yield from (ref for ref in piece.key.chosen if ref is not None)
    for problem in piece.problems:
        if problem.code in INEXPRESSIBLE:
            yield problem.about.object


def _precedence(key: PieceKey) -> tuple[str, int]:
    return key.host, key.port


def _version(resource: Resource | None) -> str:
    return resource.version if resource else ""


def _same(old: Resource | None, new: Resource | None) -> bool:
    """Equal bytes from the same objects: nothing to send, nothing to remember."""
    if old is None or new is None:
        return old is new
    return (
        old.version == new.version
        and old.references == new.references
        and old.origins == new.origins
    )
