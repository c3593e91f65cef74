"""Processes that answer commands, one JSON line each, and what the kernel says of them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

from benchmarks.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

ROOT = Path(__file__).parents[2]

Answer = dict[str, Any]


class ChildError(RuntimeError):
    """A process ended, or could not do what it was told. The text has its own words."""


class Child:
    """A child process: ``ask`` it; ``hello`` is what it said by itself at first."""

    def __init__(self, argv: Sequence[str | Path]) -> None:
        self._name = " ".join(map(str, argv))
        self._process = subprocess.Popen(
            argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._usage = Usage(self._process.pid)
        self.hello = self._answer()

    @classmethod
    def python(cls, module: str, *arguments: str | Path) -> Self:
        """A module of ours."""
        return cls([sys.executable, "-m", module, *arguments])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, **command: object) -> Answer:
        """Its answer to a command. Raises ChildError."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildError(f"{self._name} ended with {self._process.wait()}")
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise ChildError(f"{self._name}: {answer['error']}")
        return answer

    def cpu(self) -> float:
        """CPU seconds of all its threads, user and system; a tick is 10 ms."""
        return self._usage.cpu()

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes of ``VmRSS``, or of ``VmHWM``: the most since ``forget_peak``."""
        return self._usage.memory(field)

    def forget_peak(self) -> None:
        """Let ``VmHWM`` begin anew."""
        self._usage.forget_peak()

    def settle(self, quiet: float = 0.1, limit: float = 60.0) -> None:
        """Wait until it has not worked for ``quiet`` seconds."""
        until = monotonic() + limit
        before, since = self.cpu(), monotonic()
        while monotonic() - since < quiet:
            sleep(quiet / 5)
            if (now := self.cpu()) != before:
                before, since = now, monotonic()
            if monotonic() > until:
                raise ChildError(f"{self._name} is still busy after {limit} s")


async def obey(hello: Answer, do: Callable[[Answer], Awaitable[Answer]]) -> None:
    """The child's side: say ``hello``, then answer commands until there are no more."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say(hello)
    while line := await reader.readline():
        try:
            _say(await do(json.loads(line)))
        except Exception as error:
            _say({"error": f"{type(error).__name__}: {error}"})
            raise


def _say(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
