"""A mapping whose changed copy costs what changed, not what it holds."""

from __future__ import annotations

from collections.abc import Collection, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import TypeVar

Value = TypeVar("Value")

PATCH = 64
"""How many changes are kept apart before they are folded in: the fold copies everything."""


class Table(Mapping[str, Value]):
    """Immutable: a base that many tables share, under a small patch in which None removes."""

    __slots__ = ("_base", "_patch")

    def __init__(self, base: dict[str, Value] | None = None) -> None:
        self._base: dict[str, Value] = {} if base is None else base
        self._patch: dict[str, Value | None] = {}

    def replace(self, changes: Mapping[str, Value | None]) -> Table[Value]:
        """This table with some values set, or removed where the value is None."""
        changed = Table(self._base)
        changed._patch = {**self._patch, **changes}
        if len(changed._patch) > PATCH:
            changed._flat()
        return changed

    def __getitem__(self, name: str) -> Value:
        if name not in self._patch:
            return self._base[name]
        if (value := self._patch[name]) is None:
            raise KeyError(name)
        return value

    def pick(self, names: Collection[str]) -> dict[str, Value]:
        """Those of the names that are here, in the order of ``names``."""
        if len(names) > PATCH:
            flat = self._flat()
            return {name: flat[name] for name in names if name in flat}
        return {name: self[name] for name in names if name in self}

    def __iter__(self) -> Iterator[str]:
        return iter(self._flat())

    def __len__(self) -> int:
        return len(self._flat())

    def keys(self) -> KeysView[str]:
        """All names."""
        return self._flat().keys()

    def items(self) -> ItemsView[str, Value]:
        """All names and values."""
        return self._flat().items()

    def values(self) -> ValuesView[Value]:
        """All values."""
        return self._flat().values()

    def _flat(self) -> dict[str, Value]:
        """Everything in one dict; whoever asks for all pays once for all who ask later."""
        if self._patch:
            merged = {**self._base, **self._patch}
            self._base = {name: value for name, value in merged.items() if value is not None}
            self._patch = {}
        return self._base
