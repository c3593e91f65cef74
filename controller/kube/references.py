"""Which Secrets the objects of a cluster name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from meltemi.controller.kube.mirror import Name
from meltemi.protocols.model import RedisSettings, RedisUpstream, SecretRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meltemi.controller.objects import Identity, Value


class Turn(NamedTuple):
    """Secrets that nothing named before, and those that nothing names any more."""

    wanted: frozenset[Name] = frozenset()
    dropped: frozenset[Name] = frozenset()


class References:
    """Secrets by the objects that name them."""

    def __init__(self) -> None:
        self._of: dict[Identity, frozenset[Name]] = {}
        self._named = Counter[Name]()

    def __iter__(self) -> Iterator[Name]:
        return iter(self._named)

    def of(self, identity: Identity) -> frozenset[Name]:
        """Those that an object names."""
        return self._of.get(identity, frozenset())

    def put(self, identity: Identity, values: Iterable[Value] = ()) -> Turn:
        """An object has these values now; without any it is gone."""
        before, now = self.of(identity), frozenset(_secrets(values))
        if before == now:
            return Turn()
        self._of[identity] = now
        if not now:
            del self._of[identity]
        self._named.update(now - before)
        self._named.subtract(before - now)
        dropped = frozenset(name for name in before - now if not self._named[name])
        for name in dropped:
            del self._named[name]
        return Turn(frozenset(name for name in now - before if self._named[name] == 1), dropped)


def _secrets(values: Iterable[Value]) -> Iterator[Name]:
    for value in values:
        match value:
            case (
                RedisSettings(auth=SecretRef() as found) | RedisUpstream(auth=SecretRef() as found)
            ):
                yield Name(found.namespace, found.name)
            case _:
                pass
