"""What a stream asked for of one type: names, everything (``*``), or nothing.

Values, not state: a request makes a new subscription of the old one. Streams that ask for the same
names share one set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

if TYPE_CHECKING:
    from collections.abc import Iterable

WILDCARD = "*"

_shared: WeakKeyDictionary[frozenset[str], ref[frozenset[str]]] = WeakKeyDictionary()


def share(names: frozenset[str]) -> frozenset[str]:
    """An equal set, the same object for everybody who asks while somebody holds it."""
    held = _shared.get(names)
    if held is not None and (same := held()) is not None:
        return same
    _shared[names] = ref(names)
    return names


@dataclass(frozen=True, slots=True)
class Subscription:
    """The names and the wildcard that are in force.

    ``named``: the stream has named something of this type, ``*`` included. From then on an empty
    list never means everything again.
    """

    names: frozenset[str] = frozenset()
    wildcard: bool = False
    named: bool = False

    def __bool__(self) -> bool:
        return self.wildcard or bool(self.names)

    def selects(self, name: str) -> bool:
        """Whether the stream wants to hear of this resource."""
        return self.wildcard or name in self.names

    def replaced(self, names: frozenset[str], *, legacy: bool) -> Subscription:
        """After a SotW request that listed ``names``, all of them.

        ``legacy``: no name at all means everything, if nothing was ever named.
        """
        if not names:
            return Subscription(wildcard=legacy and not self.named, named=self.named)
        if WILDCARD not in names and "" not in names:
            return Subscription(share(names), named=True)
        return Subscription(share(names - {WILDCARD, ""}), WILDCARD in names, named=True)

    def amended(
        self, subscribe: Iterable[str], unsubscribe: Iterable[str], *, legacy: bool
    ) -> Subscription:
        """After a delta request. What it both adds and drops is dropped.

        ``legacy``: this is the first request and naming nothing means everything.
        """
        added, dropped = frozenset(subscribe), frozenset(unsubscribe)
        if not added and not dropped:
            return Subscription(wildcard=True) if legacy else self
        names = (self.names | added) - dropped - {WILDCARD, ""}
        wildcard = self.wildcard or WILDCARD in added or (legacy and not added)
        return Subscription(share(names), wildcard and WILDCARD not in dropped, named=True)
