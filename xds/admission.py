"""Who may come in, and who next: streams are counted, and prepared a few at a time in order.

When a thousand proxies connect at once, preparing them all together would hold a thousand first
responses in memory, and keep the last word for everybody. Pure: tickets, not tasks.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

from meltemi.xds.limits import LimitError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from meltemi.xds.peer import Peer

T = TypeVar("T", bound="Hashable")


class Census:
    """How many streams there are, in all and of each peer."""

    def __init__(self, streams: int, streams_per_peer: int) -> None:
        self._streams = streams
        self._per_peer = streams_per_peer
        self._of: Counter[str] = Counter()
        self._all = 0

    def __len__(self) -> int:
        """Of all peers."""
        return self._all

    def enter(self, peer: Peer) -> None:
        """One more stream of a peer. Raises LimitError when that would be too many."""
        who = _who(peer)
        if self._of[who] >= self._per_peer:
            raise LimitError(
                "streams_per_peer",
                f"{who} has {self._of[who]} streams, and no peer may have more here: "
                "close some, or raise the limit on streams per peer",
            )
        if self._all >= self._streams:
            raise LimitError(
                "streams",
                f"this server has {self._all} streams and takes no more: "
                "try another replica, or raise its limit on streams",
            )
        self._of[who] += 1
        self._all += 1

    def leave(self, peer: Peer) -> None:
        """A stream that had entered has ended."""
        who = _who(peer)
        self._all -= 1
        self._of[who] -= 1
        if not self._of[who]:
            del self._of[who]


def _who(peer: Peer) -> str:
    """The identity, else the address: ``ipv4:10.0.0.1:45678`` without the port, which differs from
    connection to connection.
    """
    return str(peer.identity) if peer.identity else peer.address.rpartition(":")[0]


class Queue(Generic[T]):
    """``at_once`` tickets are served, ``waiting`` more wait in the order in which they came."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._at_once = at_once
        self._limit = waiting
        self._served: set[T] = set()
        self._waiting: dict[T, None] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def arrive(self, ticket: T) -> bool:
        """Whether it is this ticket's turn already. Raises LimitError when too many wait."""
        if len(self._served) < self._at_once:
            self._served.add(ticket)
            return True
        if len(self._waiting) >= self._limit:
            raise LimitError(
                "waiting",
                f"{len(self._waiting)} streams wait for their first configuration here, and no "
                "more may: try again in some seconds, or another replica",
            )
        self._waiting[ticket] = None
        return False

    def leave(self, ticket: T) -> T | None:
        """A ticket is done or gives up; gives the one whose turn it is now, if there is one.
        Without effect when repeated.
        """
        self._waiting.pop(ticket, None)
        if ticket not in self._served:
            return None
        self._served.discard(ticket)
        if not self._waiting:
            return None
        following = next(iter(self._waiting))
        del self._waiting[following]
        self._served.add(following)
        return following
