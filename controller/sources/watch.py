"""Says when to look at a file or folder again."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from watchfiles import Change, awatch  # pyright: ignore[reportUnknownVariableType]: trio's types

from meltemi.controller.sources import SourceError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_STEP = 5  # ms between two looks of the watcher; its default of 50 costs 100 ms per save
_GATHER = 100  # ms for which a burst of changes is gathered at most


class Watch:
    """The changes of a folder and what is below it, or of the folder that a file is in.

    The watch ends when that folder is deleted, even if another one takes its place, and never
    begins when there is none: it is not sound then, and a new one must be begun.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._recursive = os.path.isdir(path)
        self._folder = path if self._recursive else os.path.dirname(path)
        self._identity = _identity(self._folder)
        self._changes: AsyncGenerator[set[tuple[Change, str]], None] = awatch(
            self._folder,
            watch_filter=None,
            debounce=_GATHER,
            step=_STEP,
            recursive=self._recursive,
        )
        self._next: asyncio.Task[set[tuple[Change, str]]] | None = None

    async def begin(self) -> None:
        """From here on no change is missed: the watcher is set up before it first suspends."""
        if self._identity is not None:
            self._next = asyncio.create_task(self._step())
            await asyncio.sleep(0)

    async def wait(self, patience: float) -> set[str]:
        """The paths that changed; none if nothing did within ``patience`` seconds."""
        if self._next is None:
            await asyncio.sleep(patience)
            return set()
        done, _ = await asyncio.wait({self._next}, timeout=patience)
        if not done:
            return set()
        try:
            changes = self._next.result()
        except FileNotFoundError:
            self._identity = self._next = None  # it went while the watcher was set up
            return set()
        except (OSError, RuntimeError) as error:
            raise SourceError(f"{self._folder} cannot be watched: {error}") from error
        self._next = asyncio.create_task(self._step())
        return {path for _, path in changes}

    async def end(self) -> None:
        """Stop watching."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self._changes.aclose()

    def is_sound(self) -> bool:
        """Whether the path is still below the folder that is watched."""
        here = _identity(self._folder)
        same_kind = self._recursive == os.path.isdir(self._path)
        return here is not None and here == self._identity and same_kind

    async def _step(self) -> set[tuple[Change, str]]:
        return await anext(self._changes, set[tuple[Change, str]]())


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
