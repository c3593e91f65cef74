"""What each object needs of which proxies: by group and type the epoch of its last change.

Kept up to date with the groups' snapshots: a change costs what it changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meltemi.controller.statuses.epochs import ROOTS, hangs_on
from meltemi.protocols.model import Ref
from meltemi.xds.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from meltemi.controller.statuses.epochs import Group
    from meltemi.xds.resource import Key, Resource, TypeUrl


@dataclass(slots=True)
class _Need:
    """The epoch of the last change, and how many resources come from the object."""

    epoch: int
    count: int = 0


class Needs:
    """Objects of these ``kinds``, each without its generation and field."""

    def __init__(self, kinds: Container[str]) -> None:
        self._kinds = kinds
        self._seen: dict[Group, Snapshot] = {}
        self._tables: dict[Group, dict[TypeUrl, dict[Ref, _Need]]] = {}
        self._places: dict[Ref, dict[Group, set[TypeUrl]]] = {}
        self._generations: dict[Ref, int] = {}

    def of(self, about: Ref) -> Iterator[tuple[Group, Mapping[TypeUrl, int]]]:
        """By group and type the epoch of the object's last change there."""
        for group, types in self._places.get(about, {}).items():
            tables = self._tables[group]
            yield group, {each: tables[each][about].epoch for each in types}

    def generation(self, about: Ref) -> int | None:
        """Of what is compiled of the object, 0 where objects have none; None if nothing is."""
        return self._generations.get(about)

    def inside(self, group: Group) -> set[Ref]:
        """The objects that a group has something of."""
        return {about for table in self._tables.get(group, {}).values() for about in table}

    def since(self, group: Group, type_url: TypeUrl, epoch: int) -> Iterator[Ref]:
        """The objects that changed there, or in what hangs on it, in this epoch or later."""
        for each, table in self._tables.get(group, {}).items():
            if type_url not in hangs_on(each):
                continue
            for about, need in reversed(table.items()):
                if need.epoch < epoch:
                    break
                yield about

    def behind(self, group: Group, keys: Iterable[Key]) -> set[Ref]:
        """The objects that these resources of a group come from."""
        snapshot = self._seen.get(group, Snapshot())
        return {about for key in keys for about in self._origins(snapshot.get(key))}

    def named(self, group: Group, key: Key) -> Iterator[tuple[Key, set[Ref]]]:
        """What hangs on a resource, as a route table on its listener, and the objects behind it."""
        snapshot = self._seen.get(group, Snapshot())
        resource = snapshot.get(key)
        for child in resource.references if resource else ():
            if child.type_url not in ROOTS:
                yield child, {*self._origins(snapshot.get(child))}

    def fold(self, group: Group, snapshot: Snapshot, retold: Iterable[Key], epoch: int) -> set[Ref]:
        """The group's snapshot is this now, and differs in ``retold``, perhaps in nothing but
        origins. Returns the objects that this is about.
        """
        before = self._seen.get(group, Snapshot())
        self._seen[group] = snapshot
        touched: set[Ref] = set()
        for key in retold:
            old, new = before.get(key), snapshot.get(key)
            gone, come = self._origins(old), self._origins(new)
            self._generations |= come
            moved = old is None or new is None or old.version != new.version
            for about in gone.keys() | come.keys():
                change = (about in come) - (about in gone)
                if moved or change:
                    self._turn(about, group, key.type_url, change, epoch)
            touched |= gone.keys() | come.keys()
        return touched

    def drop(self, group: Group) -> set[Ref]:
        """There is no such group any more. Returns the objects that it had something of."""
        objects = self.inside(group)
        for about in objects:
            self._leave(about, group)
        self._tables.pop(group, None)
        self._seen.pop(group, None)
        return objects

    def _turn(self, about: Ref, group: Group, type_url: TypeUrl, change: int, epoch: int) -> None:
        """Something of an object changed there; the last that did is the last of its table."""
        table = self._tables.setdefault(group, {}).setdefault(type_url, {})
        need = table.pop(about, _Need(epoch))
        need.epoch, need.count = epoch, need.count + change
        types = self._places.setdefault(about, {}).setdefault(group, set())
        if need.count:
            table[about] = need
            types.add(type_url)
            return
        types.discard(type_url)
        if not types:
            self._leave(about, group)

    def _leave(self, about: Ref, group: Group) -> None:
        places = self._places[about]
        del places[group]
        if not places:
            del self._places[about]
            self._generations.pop(about, None)

    def _origins(self, resource: Resource | None) -> dict[Ref, int]:
        """The objects of our kinds that a resource comes from, with their generations."""
        return {
            ref.object: ref.generation
            for ref in (resource.origins if resource else ())
            if isinstance(ref, Ref) and ref.kind in self._kinds
        }
