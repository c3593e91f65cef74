"""Which Secrets the objects of a cluster name."""

from __future__ import annotations

from bisect import insort
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from meltemi.controller.decode.metadata import is_name
from meltemi.controller.kube.mirror import Name
from meltemi.protocols.model import RedisSettings, RedisUpstream, SecretRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meltemi.controller.store.objects import Identity, Value

MOST = 100
"""Secrets that are followed in a namespace: each takes a connection of its own, and whoever may
write objects there may name as many as they like. The first by name, in every replica.
"""


class Turn(NamedTuple):
    """Secrets that are to be followed from now on, and those that are not any more. ``beyond``: how
    many of the object's namespace are named and not followed, None where nothing has changed.
    """

    wanted: frozenset[Name] = frozenset()
    dropped: frozenset[Name] = frozenset()
    beyond: int | None = None


class References:
    """Secrets by the objects that name them."""

    def __init__(self) -> None:
        self._of: dict[Identity, frozenset[Name]] = {}
        self._named = Counter[Name]()
        self._in: defaultdict[str, list[Name]] = defaultdict(list)

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
        followed = self._followed(before | now)
        for name in now - before:
            self._add(name)
        for name in before - now:
            self._remove(name)
        following = self._followed(before | now)
        beyond = max(0, len(self._in[identity.namespace]) - MOST)
        return Turn(following - followed, followed - following, beyond)

    def _followed(self, near: Iterable[Name]) -> frozenset[Name]:
        """In the namespaces of these."""
        namespaces = {name.namespace for name in near}
        return frozenset(name for each in namespaces for name in self._in[each][:MOST])

    def _add(self, name: Name) -> None:
        self._named[name] += 1
        if self._named[name] == 1:
            insort(self._in[name.namespace], name)

    def _remove(self, name: Name) -> None:
        self._named[name] -= 1
        if not self._named[name]:
            del self._named[name]
            self._in[name.namespace].remove(name)


def _secrets(values: Iterable[Value]) -> Iterator[Name]:
    """What is no name stands for no Secret, and must not become part of a request."""
    for value in values:
        match value:
            case (
                RedisSettings(auth=SecretRef() as found) | RedisUpstream(auth=SecretRef() as found)
            ):
                if is_name(found.name):
                    yield Name(found.namespace, found.name)
            case _:
                pass
