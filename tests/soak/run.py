"""Thousands of proxies that come and go, and what the server keeps of them."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.soak.proxy import ENDS, Proxy, introduction, silent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

AT_ONCE = 20
SETTLING_S = 60.0
ROOT = Path(__file__).parents[2]
SERVICES = 50
ENTRY = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: s{number}}}
spec:
  hosts: [s{number}.example]
  resolution: STATIC
  ports: [{{number: {port}, name: tcp-dubbo}}]
  endpoints: [{{address: 127.0.0.{last}}}]
"""


@dataclass(frozen=True, slots=True)
class Health:
    """The server after ``reconnects``, with nobody connected."""

    reconnects: int
    tasks: int
    descriptors: int
    bytes: int


class Served:
    """The server, in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process

    async def health(self, reconnects: int) -> Health:
        """How it is when the last stream has ended."""
        async with asyncio.timeout(SETTLING_S):
            while (await self._ask())["streams"]:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)
        # What gRPC closes, it closes a moment later.
        await asyncio.sleep(0.5)
        found = await self._ask()
        return Health(reconnects, found["tasks"], found["descriptors"], found["bytes"])

    async def _ask(self) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await answer(self._process)


async def answer(process: asyncio.subprocess.Process) -> dict[str, int]:
    """A line of the server's. Raises RuntimeError when it has ended."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"the server ended with code {await process.wait()}")
    found: dict[str, int] = json.loads(line)
    return found


@asynccontextmanager
async def served(rules: Path) -> AsyncGenerator[Served]:
    """The server on a folder of rules."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.soak.served", rules),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        yield Served(process, (await answer(process))["port"])
    finally:
        process.terminate()
        await process.wait()


def save(rules: Path, turn: int) -> None:
    """The services, some of which change with each turn."""
    rules.joinpath("services.yaml").write_text(
        "".join(
            ENTRY.format(number=number, port=20000 + number, last=1 + turn * (number % 2) % 250)
            for number in range(SERVICES)
        )
    )


async def soak(rules: Path, reconnects: int, samples: int) -> Sequence[Health]:
    """The server's health before and after each of so many parts of all reconnects."""
    save(rules, 0)
    first, each = introduction(), reconnects // samples
    async with served(rules) as server:
        found = [await server.health(0)]
        proxy = Proxy(server.port, first)
        for sample in range(samples):
            await _crowd(proxy, rules, sample, each)
            await silent(server.port)
            found.append(await server.health((sample + 1) * each))
        return found


async def _crowd(proxy: Proxy, rules: Path, turn: int, count: int) -> None:
    numbers = iter(range(count))

    async def one_after_the_other() -> None:
        for number in numbers:
            if number % 100 == 50:
                await asyncio.to_thread(save, rules, turn * count + number)
            await proxy.live(ENDS[number % len(ENDS)])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(one_after_the_other())


def kept(found: Sequence[Health]) -> float:
    """Bytes that a reconnect costs for ever: the slope over the second half of all."""
    half = found[len(found) // 2 :]
    mean_x = sum(each.reconnects for each in half) / len(half)
    mean_y = sum(each.bytes for each in half) / len(half)
    over = sum((each.reconnects - mean_x) * (each.bytes - mean_y) for each in half)
    return over / sum((each.reconnects - mean_x) ** 2 for each in half)


def trouble(found: Sequence[Health], most: float) -> Sequence[str]:
    """Sentences for what grew; ``most`` bytes for each reconnect are noise."""
    before, after = found[1], found[-1]
    grown = [
        f"{name}: {getattr(before, name)} after {before.reconnects} reconnects, "
        f"{getattr(after, name)} after {after.reconnects}"
        for name in ("tasks", "descriptors")
        if getattr(after, name) > getattr(before, name)
    ]
    if kept(found) > most:
        grown.append(f"memory: {kept(found):.0f} bytes more with each reconnect")
    return grown
