"""What each proxy was sent and said last: streams' events folded into stream x type -> state.

Bounded by the streams that are open: a stream's entry goes with the stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from meltemi.xds.session import Acked, Dropped, Nacked, Pushed, Resumed, Subscribed, Unsubscribed

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from meltemi.xds.peer import Peer
    from meltemi.xds.resource import TypeUrl
    from meltemi.xds.session import Event
    from meltemi.xds.wire import Node

SUSPECTS = 20
"""How many suspects of a refusal are kept; a first response may have thousands."""

UNANSWERED = 16
"""How many unanswered responses of a type are kept, as in the session itself."""


class State(Enum):
    """Where a type stands on a stream. ``NOT_SENT``: the proxy asks, and nothing was sent yet."""

    ACKED = "ACKED"
    PENDING = "PENDING"
    NACKED = "NACKED"
    NOT_SENT = "NOT SENT"
    NOT_SUBSCRIBED = "NOT SUBSCRIBED"


class Pending(NamedTuple):
    """A response without an answer, and when it was sent."""

    nonce: str
    since: float


class Suspect(NamedTuple):
    """A resource that a refusal may be about, and where it came from."""

    name: str
    origins: tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A NACK. The suspects are at fault if it is ``certain``, else they were new in what the proxy
    refused. ``since`` is when it first said so, in the clock of the stream's owner.
    """

    message: str
    suspects: tuple[Suspect, ...]
    certain: bool
    since: float

    @property
    def names(self) -> tuple[str, ...]:
        """Of the suspects."""
        return tuple(suspect.name for suspect in self.suspects)

    @property
    def origins(self) -> tuple[Hashable, ...]:
        """Of the suspects, each once."""
        return tuple(dict.fromkeys(each for suspect in self.suspects for each in suspect.origins))


@dataclass(slots=True)
class TypeStatus:
    """One type on one stream, always as of now. ``version`` is the last accepted one, empty before
    the first, and ``accepted`` its time; ``asked`` is when ``subscribed`` became so.

    Each of ``refusals`` stands until the proxy accepts later responses about all that it names,
    asks for them no more, or refuses one of them again. ``pending``: responses without an answer,
    oldest first.
    """

    subscribed: bool = True
    asked: float = 0.0
    version: str = ""
    accepted: float = 0.0
    refusals: tuple[Refusal, ...] = ()
    pending: tuple[Pending, ...] = ()

    @property
    def state(self) -> tuple[State, float]:
        """One word for it, and since when."""
        if not self.subscribed:
            return State.NOT_SUBSCRIBED, self.asked
        if self.refusals:
            return State.NACKED, min(refusal.since for refusal in self.refusals)
        if self.pending:
            return State.PENDING, self.pending[0].since
        return (State.ACKED, self.accepted) if self.version else (State.NOT_SENT, self.asked)

    def fold(self, event: Event, now: float) -> None:
        """What an event makes of it."""
        match event:
            case Pushed():
                self.pending = (*self.pending, Pending(event.nonce, now))[-UNANSWERED:]
            case Acked():
                self.version, self.accepted = event.version, now
                self.pending = _after(self.pending, event.nonce)
                if self.refusals:
                    self.refusals = tuple(_less(self.refusals, event.names))
            case Resumed():
                self.version, self.accepted = event.version, now
            case Dropped():
                self.refusals = tuple(_less(self.refusals, event.names))
            case Subscribed() | Unsubscribed():
                self.subscribed, self.asked = isinstance(event, Subscribed), now
            case Nacked():
                self.refusals = _with(self.refusals, event, now)
                self.pending = _after(self.pending, event.nonce)


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One open stream. ``types`` are those that it has said something about."""

    node: Node
    peer: Peer
    since: float
    types: dict[TypeUrl, TypeStatus] = field(default_factory=dict["TypeUrl", "TypeStatus"])


class Status:
    """What is known of all open streams. Streams are numbered by their owner."""

    def __init__(self) -> None:
        self._streams: dict[int, StreamStatus] = {}

    def opened(self, stream: int, node: Node, peer: Peer, now: float) -> None:
        """A proxy has introduced itself."""
        self._streams[stream] = StreamStatus(node, peer, now)

    def said(self, stream: int, event: Event, now: float) -> bool:
        """A proxy has answered; whether that changes what it refuses."""
        types = self._streams[stream].types
        status = types.get(event.type_url)
        if status is None:
            status = types[event.type_url] = TypeStatus()
        before = status.refusals
        status.fold(event, now)
        return status.refusals != before

    def closed(self, stream: int) -> None:
        """The stream has ended."""
        del self._streams[stream]

    def streams(self) -> Sequence[StreamStatus]:
        """All open streams, oldest first. A proxy may have several."""
        return tuple(self._streams.values())

    def numbered(self) -> Mapping[int, StreamStatus]:
        """All open streams by number, oldest first."""
        return MappingProxyType(self._streams)


def _after(pending: tuple[Pending, ...], nonce: str) -> tuple[Pending, ...]:
    """What is left when a response is answered, and with it those before."""
    nonces = [each.nonce for each in pending]
    return pending[nonces.index(nonce) + 1 :] if nonce in nonces else pending


def _less(refusals: Iterable[Refusal], answered: frozenset[str]) -> Iterator[Refusal]:
    """What is left of refusals when the proxy has a new word on something."""
    for refusal in refusals:
        if left := tuple(each for each in refusal.suspects if each.name not in answered):
            yield replace(refusal, suspects=left)


def _with(refusals: tuple[Refusal, ...], event: Nacked, now: float) -> tuple[Refusal, ...]:
    """An answer is the last word on all that it is about; other suspects stay what they were."""
    suspects = tuple(Suspect(each.name, each.origins) for each in event.suspects[:SUSPECTS])
    names = frozenset(suspect.name for suspect in suspects)
    since = (each.since for each in refusals if not names.isdisjoint(each.names))
    refusal = Refusal(event.message, suspects, event.certain, min(since, default=now))
    return (*_less(refusals, names | event.names), refusal)[-SUSPECTS:]
