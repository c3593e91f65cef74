"""The proxies that are connected: which group each belongs to, and what each said."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import grpc

from meltemi.controller.identity import DeniedError, NodeIds, namespace_of
from meltemi.controller.nodes import NamespaceError, NodeError, Profile, profile
from meltemi.xds.group import Group as Streams
from meltemi.xds.limits import LimitError, Limits
from meltemi.xds.server import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meltemi.controller.loop import Loop
    from meltemi.protocols.group import Group, GroupKey
    from meltemi.protocols.registry import Registry
    from meltemi.xds.peer import Peer
    from meltemi.xds.resource import Key
    from meltemi.xds.stream import Stream
    from meltemi.xds.wire import Node

IDLE = 60.0
"""Seconds for which a group without proxies is kept: proxies that restart find it compiled."""


class Fleet:
    """Groups of streams by what decides how they are served. ``joined`` hears of each stream and
    its group. ``exposed``: anybody may connect. ``most``: how many groups there may be, each of
    which is compiled for itself.
    """

    def __init__(
        self,
        registry: Registry,
        loop: Loop,
        *,
        joined: Callable[[GroupKey, Stream], None] = lambda _, __: None,
        exposed: bool = False,
        most: int = Limits().groups,
    ) -> None:
        self._registry = registry
        self._loop = loop
        self._joined = joined
        self._exposed = exposed
        self._most = most
        self._compiled: set[GroupKey] = set()
        self._opening: Counter[GroupKey] = Counter()
        self._ids = NodeIds()
        self._streams: dict[Profile, Streams] = {}
        self._keep: set[GroupKey] = set()

    def keep(self, key: GroupKey) -> None:
        """Never close this group: it is looked at without proxies."""
        self._keep.add(key)

    async def join(self, node: Node, peer: Peer) -> Streams:
        """The group of a proxy, compiled if it is the first of its kind.

        Raises:
            Refused: its node metadata is wrong, or it is not who it says it is.
            LimitError: there are too many groups.
        """
        wanted = self._admit(node, peer)
        if (streams := self._streams.get(wanted)) is None:
            self._make_room(wanted.group)
            try:
                streams = await self._open(wanted)
                self._admit(node, peer)  # somebody else may have taken its name meanwhile
            except BaseException:
                self._emptied(wanted)  # it never joined, so it will not leave
                raise
        return streams

    async def _open(self, wanted: Profile) -> Streams:
        key = wanted.group
        self._opening[key] += 1
        try:
            group = await self._loop.open(key)
        finally:
            self._opening[key] -= 1
            if not self._opening[key]:
                del self._opening[key]
        # Another stream of its kind may have come first.
        made = Streams(
            group.snapshot,
            drain=wanted.drain,
            on_join=lambda stream: self._joined(key, stream),
            on_empty=lambda _: self._emptied(wanted),
        )
        return self._streams.setdefault(wanted, made)

    def opened(self, stream: int, node: Node, peer: Peer) -> None:
        """A stream that has joined is served from now on."""
        self._ids.opened(stream, node.id, peer.identity)

    def closed(self, stream: int) -> None:
        """It has ended."""
        self._ids.closed(stream)

    def _admit(self, node: Node, peer: Peer) -> Profile:
        """How a proxy is to be served. Nothing is done for it before this is known."""
        try:
            wanted = profile(node, self._registry, namespace_of(peer, exposed=self._exposed))
            self._ids.check(node.id, peer.identity)
        except (DeniedError, NamespaceError) as error:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, str(error)) from error
        except NodeError as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        return wanted

    def __iter__(self) -> Iterator[tuple[GroupKey, Streams]]:
        """The streams of each group; streams that drain for another time are apart."""
        return ((wanted.group, streams) for wanted, streams in self._streams.items())

    def publish(self, group: Group) -> frozenset[Key]:
        """Give a group's new snapshot to all its streams. Returns what is different in it."""
        changed = group.take_changed()
        for key, streams in self:
            if key == group.key:
                streams.publish(group.snapshot, changed)
        return changed

    def streams(self, wanted: GroupKey) -> Iterator[Stream]:
        """The open streams of a group."""
        return (stream for key, streams in self if key == wanted for stream in streams)

    def _make_room(self, key: GroupKey) -> None:
        if key not in self._compiled and len(self._compiled) >= self._most:
            for idle in [wanted for wanted, streams in self._streams.items() if not len(streams)]:
                self._forget(idle)
            if len(self._compiled) >= self._most:
                raise LimitError(
                    "groups",
                    f"proxies of {len(self._compiled)} kinds are served here, and no more may be: "
                    "let proxies have the same namespace, services and ports in their node "
                    "metadata, or raise the limit on groups",
                )
        self._compiled.add(key)

    def _emptied(self, wanted: Profile) -> None:
        asyncio.get_running_loop().call_later(IDLE, self._forget, wanted)

    def _forget(self, wanted: Profile) -> None:
        if self._streams.get(wanted):
            return
        self._streams.pop(wanted, None)
        used = {other.group for other in self._streams} | self._keep | self._opening.keys()
        if wanted.group in self._compiled - used:
            self._compiled.discard(wanted.group)
            self._loop.close(wanted.group)
