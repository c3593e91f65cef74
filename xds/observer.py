"""Who hears what proxies say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from meltemi.xds.peer import Peer
    from meltemi.xds.session import Event
    from meltemi.xds.wire import Node


class Observer(Protocol):
    """Times are those of the server's clock, in seconds."""

    def opened(self, stream: int, node: Node, peer: Peer, now: float) -> None: ...
    def said(self, stream: int, event: Event, now: float) -> object: ...
    def closed(self, stream: int) -> None: ...
