"""What each proxy said last: streams' events folded into stream x type -> accepted, refused.

Bounded by the streams that are open: a stream's entry goes with the stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from meltemi.xds.session import Acked, Subscribed, Unsubscribed

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from meltemi.xds.peer import Peer
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

    Each of ``refusals`` stands until the proxy accepts later responses about all that it names, or
    refuses one of them again.
    """

    subscribed: bool = True
    version: str = ""
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One open stream."""

    node: Node
    peer: Peer
    since: float
    types: Mapping[TypeUrl, TypeStatus] = field(
        default_factory=lambda: MappingProxyType[str, TypeStatus]({})
    )


class Status:
    """What is known of all open streams. Streams are numbered by their owner."""

    def __init__(self) -> None:
        self._streams: dict[int, StreamStatus] = {}

    def opened(self, stream: int, node: Node, peer: Peer, now: float) -> None:
        """A proxy has introduced itself."""
        self._streams[stream] = StreamStatus(node, peer, now)

    def said(self, stream: int, event: Event, now: float) -> bool:
        """A proxy has answered; whether that changes what it refuses."""
        status = self._streams[stream]
        before = status.types.get(event.type_url, TypeStatus())
        after = _folded(before, event, now)
        types = MappingProxyType({**status.types, event.type_url: after})
        self._streams[stream] = replace(status, types=types)
        return before.refusals != after.refusals

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
            refusals = tuple(_less(status.refusals, event.names))
            return replace(status, version=event.version, refusals=refusals)
        case _:
            return replace(status, refusals=_with(status.refusals, event, now))


def _less(refusals: Iterable[Refusal], accepted: frozenset[str]) -> Iterator[Refusal]:
    """What is left of refusals when the proxy accepts something."""
    for refusal in refusals:
        if names := tuple(name for name in refusal.names if name not in accepted):
            yield replace(refusal, names=names)


def _with(refusals: tuple[Refusal, ...], event: Nacked, now: float) -> tuple[Refusal, ...]:
    suspects = event.suspects[:SUSPECTS]
    names = tuple(resource.name for resource in suspects)
    again = [
        refusal for refusal in refusals if not names or not set(names).isdisjoint(refusal.names)
    ]
    others = [refusal for refusal in refusals if refusal not in again]
    since = min((refusal.since for refusal in again), default=now)
    origins = dict.fromkeys(origin for resource in suspects for origin in resource.origins)
    return (*others, Refusal(event.message, names, tuple(origins), event.named, since))[-SUSPECTS:]
