"""What each proxy said last: streams' events folded into stream x type -> accepted, refused.

Bounded by the streams that are open: a stream's entry goes with the stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from meltemi.xds.session import Acked, Subscribed, Unsubscribed

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from meltemi.xds.resource import TypeUrl
    from meltemi.xds.session import Event, Nacked
    from meltemi.xds.wire import Node

SUSPECTS = 20
"""How many suspects of a refusal are kept; a first response may have thousands."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A NACK. ``names`` are suspects: the proxy named them if ``named``, else they were new in
    what it refused. ``since`` is when it first said so, in the clock of the stream's owner.
    """

    message: str
    names: tuple[str, ...]
    origins: tuple[Hashable, ...]
    named: bool
    since: float


@dataclass(frozen=True, slots=True)
class TypeStatus:
    """One type on one stream. ``version`` is the last accepted one, empty before the first.

    ``refusal`` stands until the proxy accepts a later response.
    """

    subscribed: bool = True
    version: str = ""
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One open stream."""

    node: Node
    since: float
    types: Mapping[TypeUrl, TypeStatus] = field(
        default_factory=lambda: MappingProxyType[str, TypeStatus]({})
    )


class Status:
    """What is known of all open streams. Streams are numbered by their owner."""

    def __init__(self) -> None:
        self._streams: dict[int, StreamStatus] = {}

    def opened(self, stream: int, node: Node, now: float) -> None:
        """A proxy has introduced itself."""
        self._streams[stream] = StreamStatus(node, now)

    def said(self, stream: int, event: Event, now: float) -> None:
        """A proxy has answered."""
        before = self._streams[stream]
        changed = _folded(before.types.get(event.type_url, TypeStatus()), event, now)
        types = MappingProxyType({**before.types, event.type_url: changed})
        self._streams[stream] = replace(before, types=types)

    def closed(self, stream: int) -> None:
        """The stream has ended."""
        del self._streams[stream]

    def streams(self) -> Sequence[StreamStatus]:
        """All open streams, oldest first. A proxy may have several."""
        return tuple(self._streams.values())


def _folded(status: TypeStatus, event: Event, now: float) -> TypeStatus:
    match event:
        case Subscribed():
            return replace(status, subscribed=True)
        case Unsubscribed():
            return replace(status, subscribed=False)
        case Acked():
            return replace(status, version=event.version, refusal=None)
        case _:
            return replace(status, refusal=_refusal(status.refusal, event, now))


def _refusal(before: Refusal | None, event: Nacked, now: float) -> Refusal:
    suspects = event.suspects[:SUSPECTS]
    origins = dict.fromkeys(origin for resource in suspects for origin in resource.origins)
    return Refusal(
        event.message,
        tuple(resource.name for resource in suspects),
        tuple(origins),
        event.named,
        now if before is None else before.since,
    )
