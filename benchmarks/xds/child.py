"""Processes that answer commands, one JSON line each, and what the kernel says of them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

ROOT = Path(__file__).parents[2]
TICK = 1 / os.sysconf("SC_CLK_TCK")
KIB = 1024

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
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes of ``VmRSS``, or of ``VmHWM``: the most since ``forget_peak``."""
        for line in self._proc("status").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * KIB
        raise ChildError(f"/proc says nothing of {field}")

    def forget_peak(self) -> None:
        """Let ``VmHWM`` begin anew."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

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

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


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
