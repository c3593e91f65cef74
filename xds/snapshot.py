"""What one group of proxies should hold: an immutable set of resources with versions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING

from meltemi.xds.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

    from meltemi.xds.resource import Key, Resource, TypeUrl

EMPTY: Table[Resource] = Table()

_MASK = (1 << 64) - 1
NOTHING: Mapping[str, Resource | None] = MappingProxyType({})
"""An overlay that changes nothing."""


def _digest(resource: Resource) -> int:
    text = f"{resource.name}\0{resource.version}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Resources by type and name.

    A type's version is the sum of its resources' hashes: it depends on the content alone, not on
    history or order, and a change costs only what it changed.
    """

    _tables: Mapping[TypeUrl, Table[Resource]] = field(
        default_factory=dict["TypeUrl", "Table[Resource]"]
    )
    _digests: Mapping[TypeUrl, int] = field(default_factory=dict["TypeUrl", int])

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Self:
        """A snapshot of these resources."""
        return cls().replace({resource.key: resource for resource in resources})

    def replace(self, changes: Mapping[Key, Resource | None]) -> Self:
        """This snapshot with some resources set, or removed where the value is None."""
        tables = dict(self._tables)
        digests = dict(self._digests)
        by_type: dict[TypeUrl, dict[str, Resource | None]] = {}
        for (type_url, name), resource in changes.items():
            by_type.setdefault(type_url, {})[name] = resource
        for type_url, changed in by_type.items():
            table = tables.get(type_url, EMPTY)
            before = (table.get(name) for name in changed)
            total = digests.get(type_url, 0)
            total -= sum(_digest(resource) for resource in before if resource)
            total += sum(_digest(resource) for resource in changed.values() if resource)
            digests[type_url] = total & _MASK
            tables[type_url] = table.replace(changed)
        return dataclasses.replace(self, _tables=tables, _digests=digests)

    def of_type(self, type_url: TypeUrl) -> Table[Resource]:
        """All resources of a type, by name."""
        return self._tables.get(type_url, EMPTY)

    def get(self, key: Key) -> Resource | None:
        """One resource."""
        return self.of_type(key.type_url).get(key.name)

    def version(self, type_url: TypeUrl, overlay: Mapping[str, Resource | None] = NOTHING) -> str:
        """The version of a type's whole content, as it would be with ``overlay`` laid over it."""
        total = self._digests.get(type_url, 0)
        table = self.of_type(type_url)
        for name, resource in overlay.items():
            if (hidden := table.get(name)) is not None:
                total -= _digest(hidden)
            if resource is not None:
                total += _digest(resource)
        return f"{total & _MASK:016x}"

    def types(self) -> Iterable[TypeUrl]:
        """The types that have, or had, resources."""
        return self._tables.keys()
