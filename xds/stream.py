"""One open stream: a session and its transport.

One reader feeds the session and one writer drains it; nothing is queued behind a slow proxy but
the next response, made of the latest state when it can be written.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from meltemi.xds.limits import LimitError
from meltemi.xds.token_bucket import TokenBucket
from meltemi.xds.write_timeout import WriteTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    import grpc.aio

    from meltemi.xds.limits import Limits
    from meltemi.xds.observer import Observer
    from meltemi.xds.session import Session

    Context = grpc.aio.ServicerContext[bytes, bytes]

COSTLY = 64 * 1024
"""Bytes of a request that cost as much as a request: a thousand names that are known already."""


class Stream:
    """One open stream: the session and its transport."""

    def __init__(
        self,
        number: int,
        session: Session[Any],
        context: Context,
        observer: Observer,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self.number = number
        self.session = session
        self.wake = asyncio.Event()
        self._context = context
        self._observer = observer
        self._limits = limits
        self._clock = clock
        self._bucket = TokenBucket(limits.request_rate, clock())
        self._delivered = self._retiring = self._finishing = False
        self._failure: Exception | None = None
        self._patience: WriteTimeout | None = None

    def take(self, raw: bytes) -> None:
        """Feed a request. Raises ProtocolError, and LimitError for too many names."""
        now, session = self._clock(), self.session
        for event in session.receive(raw, now):
            self._observer.said(self.number, event, now)
        if session.names > self._limits.names:
            raise LimitError(
                "names",
                f"this stream names {session.names} resources, and no stream may name more "
                f"than {self._limits.names} here: ask for *, or raise the limit on names",
            )
        if not session.resting:  # most requests are ACKs, and nothing follows
            self.wake.set()

    async def read(self) -> None:
        """Feed requests until the peer has no more, or is wrong; ``write`` then comes to its end.

        Who sends too fast is read more slowly: HTTP/2 lets the rest wait at the sender.
        """
        try:
            while (raw := await read_request(self._context)) is not None:
                self.take(raw)
                pause = self._bucket.spend(1 + len(raw) / COSTLY, self._clock())
                if pause:
                    await asyncio.sleep(pause)
        except Exception as error:  # whatever it is, the stream must not outlive its reader
            self.fail(error)
        else:
            self.finish()

    def finish(self) -> None:
        """End when everything that is due has been written."""
        self._finishing = True
        self.wake.set()

    def retire(self) -> None:
        """End likewise, but not before something was delivered: a client that got nothing takes
        the end for a failure, and waits longer and longer before it comes again (gRFC A57). Nor
        while the end would take clusters from the proxy that its connections still use.
        """
        self._retiring = True
        self.wake.set()

    def fail(self, error: Exception) -> None:
        """End with an error, without another word."""
        self._failure = error
        self.wake.set()

    def cut(self) -> None:
        """End now, even if that leaves a response half read."""
        self.finish()
        if self._patience is not None:
            self._patience.end()

    async def write(self, caught_up: Callable[[], None]) -> None:
        """Write what is due, whenever something is, until the stream ends.

        ``caught_up`` is called whenever nothing is due. Raises what the reader failed with, and
        LimitError when the peer stops reading.
        """
        with closing(WriteTimeout(self._limits.write)) as self._patience:
            while True:
                self.wake.clear()
                await self._write_due(self._patience)
                if self._failure is not None:
                    raise self._failure
                caught_up()
                if self._finishing or (
                    self._retiring and self._delivered and self.session.replaceable
                ):
                    return
                await self._due()

    async def _write_due(self, patience: WriteTimeout) -> None:
        while self._failure is None:
            now = self._clock()
            response = self.session.next_response(now)
            if response is None:
                return
            if self.session.pushed is not None:
                self._observer.said(self.number, self.session.pushed, now)
            try:
                with patience:
                    await self._context.write(response)
            except TimeoutError as error:
                limit = f"{self._limits.write:g} s"
                raise LimitError(
                    "write", f"the peer took too long: a response was not read within {limit}"
                ) from error
            self._delivered = True

    async def _due(self) -> None:
        deadline = self.session.deadline()
        if deadline is None:  # as nearly always; a timeout of None is not for nothing
            await self.wake.wait()
            return
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                await self.wake.wait()
        except TimeoutError:
            return


async def read_request(context: Context) -> bytes | None:
    """The next request; None when the peer has no more."""
    request = cast("object", await context.read())
    return request if isinstance(request, bytes) else None
