"""A limit for many short waits of one task, at the price of one timer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class WriteTimeout:
    """``with patience:`` around a wait raises TimeoutError when it takes ``seconds`` or longer.

    Like ``asyncio.timeout`` around each, but that sets and cancels a timer every time, which costs
    as much as a write. Here a timer runs on and looks, when it is due, how old the wait is that is
    under way. Made, used and closed by one task.
    """

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = task.get_loop()
        self._seconds = seconds
        self.timer: asyncio.TimerHandle | None = None
        self._until: float | None = None
        self._cancelling = 0
        self._over = False

    def __enter__(self) -> Self:
        self._cancelling = self._task.cancelling()
        self._until = self._loop.time() + self._seconds
        if self.timer is None:
            self.timer = self._loop.call_at(self._until, self._look)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._until = None
        if self._over:
            self._over = False
            ours = self._task.uncancel() <= self._cancelling
            if ours and kind is not None and issubclass(kind, asyncio.CancelledError):
                raise TimeoutError from error

    def end(self) -> None:
        """The wait that is under way, if one is, takes too long already."""
        if self._until is not None:
            self._over = True
            self._task.cancel()

    def close(self) -> None:
        """There will be no more waits."""
        if self.timer is not None:
            self.timer.cancel()

    def _look(self) -> None:
        self.timer = None
        if self._until is None:
            return
        if self._loop.time() < self._until:
            self.timer = self._loop.call_at(self._until, self._look)
        else:
            self.end()
