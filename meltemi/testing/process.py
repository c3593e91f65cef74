"""One server process: its log goes to a file, and its end is certain."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

POLL_S = 0.01
TAIL_LINES = 30


class ServerProcessError(RuntimeError):
    """A server did not start, or ended too early. The text has the last lines of its log."""


class ServerProcess:
    """A child process of this one. ``start`` it; ``stop``, ``kill`` or leave it to ``async with``.

    It gets a session of its own, so that Ctrl-C reaches us first and we decide the order of ends.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    async def start(
        cls,
        name: str,
        argv: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Self:
        """Start ``argv`` with both outputs appended to ``log``. ``name`` is for messages,
        ``environment`` comes before our own.

        Raises ServerProcessError if the program cannot be executed.
        """
        with log.open("ab") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, **environment},
                    start_new_session=True,
                )
            except OSError as error:
                raise ServerProcessError(f"{name} cannot be started: {error}") from error
        return cls(name, process, log)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; -9 after a SIGKILL."""
        return self._process.returncode

    async def wait_until(
        self, condition: Callable[[], Awaitable[bool]], what: str, timeout_s: float
    ) -> None:
        """Ask again and again until ``condition`` holds; ``what`` completes "it did not ...".

        An OSError of the condition (nobody listens yet) counts as "not yet". Raises
        ServerProcessError when the process ends first or the time is over.
        """
        try:
            async with asyncio.timeout(timeout_s):
                # Another process cannot set an event of ours.
                while not await self._holds(condition):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise self.failure(f"did not {what} within {timeout_s:g} s") from None

    async def _holds(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        if self.returncode is not None:
            raise self.failure(f"ended with code {self.returncode}")
        with suppress(OSError):
            return await condition()
        return False

    def failure(self, what: str) -> ServerProcessError:
        """The error that says ``what`` went wrong, with the end of the log."""
        return ServerProcessError(f"{self.name} {what}. Its log ends with:\n{self.log_tail()}")

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    async def wait(self) -> int:
        """Wait for its own end. Returns the exit code."""
        return await self._process.wait()

    async def stop(self, grace_s: float = 5.0) -> int:
        """SIGTERM, and SIGKILL when the grace is over. Returns the exit code; may be repeated."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                return await self._process.wait()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """SIGKILL, as a crash or the kernel would. Returns the exit code; may be repeated."""
        with suppress(ProcessLookupError):
            self._process.kill()
        return await self._process.wait()
