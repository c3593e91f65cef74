"""One open stream: a session and its transport.

One reader feeds the session and one writer drains it; nothing is queued behind a slow proxy but
the next response, made of the latest state when it can be written.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc.aio

    from meltemi.xds.observer import Observer
    from meltemi.xds.session import Session

    Context = grpc.aio.ServicerContext[bytes, bytes]


class Stream:
    """One open stream: the session and its transport."""

    def __init__(
        self,
        number: int,
        session: Session[Any],
        context: Context,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self.number = number
        self.session = session
        self.wake = asyncio.Event()
        self._context = context
        self._observer = observer
        self._clock = clock
        self._finishing = False

    def take(self, raw: bytes) -> None:
        """Feed a request."""
        now = self._clock()
        for event in self.session.receive(raw, now):
            self._observer.said(self.number, event, now)
        self.wake.set()

    async def read(self) -> None:
        """Feed requests until the peer has no more."""
        while (raw := await read_request(self._context)) is not None:
            self.take(raw)

    def finish(self) -> None:
        """End when everything that is due has been written."""
        self._finishing = True
        self.wake.set()

    async def write(self, patience: float) -> None:
        """Write what is due, whenever something is. A peer that stops reading ends its stream."""
        while True:
            self.wake.clear()
            while (response := self.session.next_response(self._clock())) is not None:
                if self.session.pushed is not None:
                    self._observer.said(self.number, self.session.pushed, self._clock())
                async with asyncio.timeout(patience):
                    await self._context.write(response)
            if self._finishing:
                return
            await self._due()

    async def _due(self) -> None:
        deadline = self.session.deadline()
        delay = None if deadline is None else max(0.0, deadline - self._clock())
        try:
            async with asyncio.timeout(delay):
                await self.wake.wait()
        except TimeoutError:
            return


async def read_request(context: Context) -> bytes | None:
    """The next request; None when the peer has no more."""
    request = cast("object", await context.read())
    return request if isinstance(request, bytes) else None
