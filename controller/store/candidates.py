"""What several objects say about one host, in order of precedence."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meltemi.controller.store.objects import Identity
    from meltemi.protocols.model import Ref


class Owned(Protocol):
    """A model value that knows its object."""

    @property
    def ref(self) -> Ref:
        """The object."""
        ...


_Owned = TypeVar("_Owned", bound=Owned)


class Candidates(Generic[_Owned]):
    """A table from hosts to what objects say about them.

    ``rank`` puts some before others; among equals age decides if all have one, else namespace
    and name: never the order of arrival.
    """

    def __init__(self, rank: Callable[[_Owned], int] = lambda _: 0) -> None:
        self._rank = rank
        self._entries: dict[str, dict[Identity, tuple[str, _Owned]]] = {}
        self._touched: set[str] = set()
        self._view: dict[str, tuple[_Owned, ...]] = {}

    @property
    def view(self) -> Mapping[str, tuple[_Owned, ...]]:
        """Live: candidates by host, as of the last ``settle``."""
        return MappingProxyType(self._view)

    def put(self, host: str, identity: Identity, created: str, value: _Owned) -> None:
        """What this object says about the host now."""
        self._entries.setdefault(host, {})[identity] = (created, value)
        self._touched.add(host)

    def drop(self, host: str, identity: Identity) -> None:
        """The object says nothing about the host any more."""
        entries = self._entries[host]
        del entries[identity]
        if not entries:
            del self._entries[host]
        self._touched.add(host)

    def objects(self, host: str) -> Iterable[Identity]:
        """Which objects say something about the host, as of now."""
        return self._entries.get(host, {}).keys()

    def settle(self) -> set[str]:
        """Bring the view up to date; answers the hosts that differ."""
        changed = {host for host in self._touched if self._refresh(host)}
        self._touched.clear()
        return changed

    def _refresh(self, host: str) -> bool:
        before = self._view.get(host)
        if entries := self._entries.get(host):
            self._view[host] = tuple(self._ordered(entries.values()))
        else:
            self._view.pop(host, None)
        return self._view.get(host) != before

    def _ordered(self, entries: Iterable[tuple[str, _Owned]]) -> list[_Owned]:
        known = list(entries)
        aged = all(created for created, _ in known)

        def precedence(entry: tuple[str, _Owned]) -> tuple[int, str, str, str, str]:
            created, value = entry
            ref = value.ref
            age = created if aged else ""
            return self._rank(value), age, ref.namespace, ref.name, ref.kind

        return [value for _, value in sorted(known, key=precedence)]
