"""Proxies of a control plane in this process, without sockets: each does what it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, cast

from meltemi.controller.offline.presets import preset
from meltemi.protocols.registry import load
from meltemi.protocols.types import type_table
from meltemi.testing.xds_client import Response, delta_request, read_delta
from meltemi.xds.dialect import Delta
from meltemi.xds.peer import Peer
from meltemi.xds.resource import CLUSTER, LISTENER, Key
from meltemi.xds.session import Session
from meltemi.xds.wire import Extension

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.controller.plane import ControlPlane
    from meltemi.xds.group import Group
    from meltemi.xds.response_cache import ResponseCache
    from meltemi.xds.stream import Stream
    from meltemi.xds.wire import Node

PEER = Peer("ipv4:127.0.0.1:40000")
TYPES = type_table(load().route_types)


def node(name: str, metadata: Mapping[str, object] | None = None, *, capable: bool = True) -> Node:
    """A proxy; ``metadata`` is what it says to Meltemi. One that is not ``capable`` has no filters
    of protocols.
    """
    stock = preset()
    extensions = stock.extensions if capable else frozenset[Extension]()
    return replace(stock, id=name, metadata={"meltemi": metadata or {}}, extensions=extensions)


class Proxy:
    """One stream in the incremental dialect. ``now`` is the time in seconds, of which it takes as
    much as a test wants. ``has``: versions of what it accepted.
    """

    def __init__(
        self,
        plane: ControlPlane,
        number: int,
        node: Node,
        group: Group,
        cache: ResponseCache | None = None,
    ) -> None:
        self.number = number
        self.now = monotonic()
        self.wake = asyncio.Event()
        self.heard: list[Response] = []
        self.has: dict[Key, str] = {}
        self._plane = plane
        self._group = group
        self.session = Session(
            Delta(),
            TYPES,
            group.snapshot,
            node_id=node.id,
            identifier="meltemi",
            drain=group.drain,
            cache=cache,
        )
        plane.opened(number, node, PEER, self.now)
        group.add(cast("Stream", self))

    def fail(self, error: Exception) -> None:
        """A session raised: as a test, so does this."""
        raise error

    def close(self) -> None:
        """The stream ends."""
        self._group.remove(cast("Stream", self))
        self._plane.closed(self.number)

    def begin(self) -> None:
        """Ask for everything, as an Envoy does first."""
        self.ask(CLUSTER, "*")
        self.ask(LISTENER, "*")

    def ask(self, type_url: str, *names: str) -> None:
        """Ask for these as well."""
        self._say(delta_request(type_url, names))

    def listen(self) -> list[Response]:
        """Everything that is due, which is not answered yet."""
        heard: list[Response] = []
        while (raw := self.session.next_response(self.now)) is not None:
            assert self.session.pushed is not None
            self._plane.said(self.number, self.session.pushed, self.now)
            heard.append(read_delta(raw))
        self.heard += heard
        return heard

    def accept(self, response: Response) -> None:
        """Ask for what it names, as an Envoy does before it answers, and accept it."""
        wanted: dict[str, list[str]] = {}
        for name in response.names:
            resource = self._group.snapshot.get(Key(response.type_url, name))
            for type_url, named in resource.references if resource else ():
                if type_url != CLUSTER:
                    wanted.setdefault(type_url, []).append(named)
        for type_url, names in wanted.items():
            self.ask(type_url, *names)
        for name, version in zip(response.names, response.versions, strict=True):
            self.has[Key(response.type_url, name)] = version
        self.heard.remove(response)
        self._say(delta_request(response.type_url, nonce=response.nonce))

    def swallow(self) -> int:
        """Accept what is due without a look at it; how many responses that were."""
        count = 0
        while self.session.next_response(self.now) is not None:
            pushed = self.session.pushed
            assert pushed is not None
            self._plane.said(self.number, pushed, self.now)
            self._say(delta_request(pushed.type_url, nonce=pushed.nonce))
            count += 1
        return count

    def refuse(self, response: Response, message: str) -> None:
        """Refuse it in these words."""
        self.heard.remove(response)
        self._say(delta_request(response.type_url, nonce=response.nonce, error=message))

    def live(self) -> int:
        """Accept whatever comes, until nothing does; how many responses that were."""
        count = 0
        while self.heard or self.listen():
            self.accept(self.heard[0])
            count += 1
        return count

    def _say(self, raw: bytes) -> None:
        for event in self.session.receive(raw, self.now):
            self._plane.said(self.number, event, self.now)
