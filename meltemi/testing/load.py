"""Steady load over open connections, of any protocol: a connection is something one can ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Self, TypeAlias

from meltemi.testing.report import Call, Report

Ask: TypeAlias = Callable[[], Awaitable[str]]
"""One call on an open connection: who answered, or any other short text to count by.

Raises ConnectionError when the connection is lost; every other exception is a failed call.
"""
Connect: TypeAlias = Callable[[], AbstractAsyncContextManager[Ask]]
"""Opens one connection. It is left in another task than it was entered in."""


@dataclass(slots=True)
class _Connection:
    number: int
    ask: Ask
    held: AsyncExitStack
    lost: bool = False


class Load:
    """``async with Load(connect) as load``: all connections are open at entry, closed at exit.

    ``rate``: calls per second over all connections together; a connection has one call under way,
    so an answer that takes long slows its connection down and nothing is caught up afterwards.
    ``timeout_s``: a call that takes longer has failed and its connection counts as lost. A lost
    connection is opened again at its next call, which ``Report.reconnects`` tells.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        connections: int = 8,
        rate: float = 250.0,
        timeout_s: float = 5.0,
    ) -> None:
        self._connect = connect
        self._connections = connections
        self._interval = connections / rate
        self._timeout_s = timeout_s
        self._calls: list[Call] = []
        self._reconnects = 0
        self._ending = False
        self._watchers: list[Callable[[Call], None]] = []
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            opened = [await self._opened(number, opening) for number in range(self._connections)]
            group = await opening.enter_async_context(asyncio.TaskGroup())
            opening.callback(self._end)
            for connection in opened:
                group.create_task(self._drive(connection))
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @staticmethod
    def now() -> float:
        """The clock of every ``Call``, in seconds."""
        return asyncio.get_running_loop().time()

    def report(self) -> Report:
        """What happened so far."""
        return Report(tuple(self._calls), self._connections, self._reconnects)

    def take(self) -> Report:
        """What happened so far; the next report begins with nothing."""
        report = self.report()
        self._calls.clear()
        self._reconnects = 0
        return report

    async def first(self, shows: Callable[[Call], bool]) -> Call:
        """Wait for the next call to end for which ``shows`` holds. The caller sets the timeout."""
        found: asyncio.Future[Call] = asyncio.get_running_loop().create_future()

        def watch(call: Call) -> None:
            if not found.done() and shows(call):
                found.set_result(call)

        self._watchers.append(watch)
        try:
            return await found
        finally:
            self._watchers.remove(watch)

    async def more(self, count: int) -> None:
        """Wait until ``count`` further calls have ended."""
        left = iter(range(count - 1))
        await self.first(lambda _: next(left, None) is None)

    def _end(self) -> None:
        self._ending = True

    async def _opened(self, number: int, closing: AsyncExitStack) -> _Connection:
        held = await closing.enter_async_context(AsyncExitStack())
        return _Connection(number, await held.enter_async_context(self._connect()), held)

    async def _drive(self, connection: _Connection) -> None:
        # Spread over the interval, so that the calls do not come in volleys.
        due = self.now() + self._interval * connection.number / self._connections
        while not self._ending:
            await asyncio.sleep(due - self.now())
            due = max(due + self._interval, self.now())
            if connection.lost:
                await self._reopen(connection)
            self._record(await self._call(connection))

    async def _call(self, connection: _Connection) -> Call:
        began = self.now()
        answer, error = None, None
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await connection.ask()
        except (ConnectionError, TimeoutError) as lost:
            connection.lost, error = True, _words(lost)
        except Exception as failed:  # whatever the protocol's client raises is a result here
            error = _words(failed)
        return Call(connection.number, began, self.now(), answer, error)

    async def _reopen(self, connection: _Connection) -> None:
        with suppress(Exception):  # what is lost anyway need not close well
            await connection.held.aclose()
        try:
            async with asyncio.timeout(self._timeout_s):
                connection.ask = await connection.held.enter_async_context(self._connect())
        except OSError:
            return  # the next call fails as well, and the one after it tries again
        connection.lost = False
        self._reconnects += 1

    def _record(self, call: Call) -> None:
        self._calls.append(call)
        for watch in tuple(self._watchers):
            watch(call)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
