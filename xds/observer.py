"""Who hears what proxies say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from meltemi.xds.peer import Peer
    from meltemi.xds.session import Event
    from meltemi.xds.wire import Node

    TurnedAway = Callable[[str, str], None]
    """Hears the status's name, such as RESOURCE_EXHAUSTED, and which field of ``Limits`` it is
    for, empty if none.
    """


class Observer(Protocol):
    """Times are those of the server's clock, in seconds."""

    def opened(self, stream: int, node: Node, peer: Peer, now: float) -> None: ...
    def said(self, stream: int, event: Event, now: float) -> object: ...
    def closed(self, stream: int) -> None: ...
