"""The proxies that are connected: which group each belongs to, and what each said."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

from meltemi.controller.identity import DeniedError, NodeIds, namespace_of
from meltemi.controller.nodes import NamespaceError, NodeError, Profile, profile
from meltemi.xds.group import Group as Streams
from meltemi.xds.server import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.loop import Loop
    from meltemi.protocols.group import Group, GroupKey
    from meltemi.protocols.registry import Registry
    from meltemi.xds.peer import Peer
    from meltemi.xds.wire import Node

IDLE = 60.0
"""Seconds for which a group without proxies is kept: proxies that restart find it compiled."""


class Fleet:
    """Groups of streams by what decides how they are served. ``exposed``: anybody may connect."""

    def __init__(self, registry: Registry, loop: Loop, *, exposed: bool = False) -> None:
        self._registry = registry
        self._loop = loop
        self._exposed = exposed
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
        """
        wanted = self._admit(node, peer)
        if (streams := self._streams.get(wanted)) is None:
            group = await self._loop.open(wanted.group)
            # Another stream of its kind may have come first.
            streams = self._streams.setdefault(
                wanted,
                Streams(
                    group.snapshot, drain=wanted.drain, on_empty=lambda _: self._emptied(wanted)
                ),
            )
            self._admit(node, peer)  # somebody else may have taken its name meanwhile
        return streams

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

    def publish(self, group: Group) -> None:
        """Give a group's new snapshot to all its streams."""
        changed = group.take_changed()
        for key, streams in self:
            if key == group.key:
                streams.publish(group.snapshot, changed)

    def _emptied(self, wanted: Profile) -> None:
        asyncio.get_running_loop().call_later(IDLE, self._forget, wanted)

    def _forget(self, wanted: Profile) -> None:
        streams = self._streams.get(wanted)
        if streams is None or len(streams):
            return
        del self._streams[wanted]
        used = {other.group for other in self._streams} | self._keep
        if wanted.group not in used:
            self._loop.close(wanted.group)
