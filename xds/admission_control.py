"""Lets streams in as far as the limits go, and a few at a time to their first configuration."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from meltemi.xds.admission import Census, Queue
from meltemi.xds.limits import PREPARING

if TYPE_CHECKING:
    from collections.abc import Generator

    from meltemi.xds.limits import Limits
    from meltemi.xds.peer import Peer


class Turn:
    """A stream's place among those that are being prepared: from ``come`` until ``over``, or the
    end of the context.
    """

    def __init__(self, queue: Queue[asyncio.Future[None]]) -> None:
        self._queue = queue
        self._ticket = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.over()

    async def come(self) -> None:
        """Wait in line. Raises LimitError when the line is too long."""
        if not self._queue.arrive(self._ticket):
            await self._ticket
        self._timer = asyncio.get_running_loop().call_later(PREPARING, self.over)

    def over(self) -> None:
        """The next one, please; may be repeated."""
        if self._timer is not None:
            self._timer.cancel()
        following = self._queue.leave(self._ticket)
        if following is not None and not following.done():
            following.set_result(None)


class AdmissionControl:
    """Counts streams and keeps the line."""

    def __init__(self, limits: Limits) -> None:
        self._census = Census(limits.streams, limits.streams_per_peer)
        self._queue = Queue[asyncio.Future[None]](limits.preparing, limits.waiting)

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._queue)

    @contextmanager
    def entered(self, peer: Peer) -> Generator[None]:
        """A stream of this peer is here while the context lasts. Raises LimitError."""
        self._census.enter(peer)
        try:
            yield
        finally:
            self._census.leave(peer)

    def turn(self) -> Turn:
        """A place in the line."""
        return Turn(self._queue)
