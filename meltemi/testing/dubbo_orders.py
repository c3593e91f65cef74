"""How a Java consumer is told which calls to make, and how it tells what became of them.

``java_src/Consumer.java`` is the other side. A line, either way, is an HTML form: Java and Python
read and write those without a library.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

LINE_LIMIT = 1 << 20
"""Bytes of a line. Dubbo puts whole stack traces into its messages."""


class JavaCallError(RuntimeError):
    """A call ended with an exception; the text is its class, code and message."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the Greeter: ``argument`` is milliseconds for ``sleep`` and bytes for ``echo``."""

    method: str
    argument: str | int = ""
    attachments: Mapping[str, str] = field(default_factory=dict[str, str])
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call: an answer, or the exception that the calling code got."""

    seconds: float
    answer: str | None = None
    error: str | None = None
    """The exception's class, without its package."""
    text: str = ""
    """The exception's message."""
    code: int | None = None
    """Only of Dubbo's own RpcException, whose constants it is: 1 is the network, 2 a timeout."""

    def result(self) -> str:
        """The answer. Raises JavaCallError if there is none."""
        if self.answer is None:
            raise JavaCallError(f"{self.error} {self.code}: {self.text}")
        return self.answer


def order_line(name: str, url: str, call: Call, times: int = 1, threads: int = 1) -> bytes:
    """The order to make a call ``times`` times from ``threads`` threads."""
    form = {
        "id": name,
        "url": url,
        "method": call.method,
        "argument": call.argument,
        "group": call.group,
        "version": call.version,
        "count": times,
        "threads": threads,
    }
    attachments = {f"@{key}": value for key, value in call.attachments.items()}
    return f"{urlencode(form | attachments)}\n".encode()


def read_line(line: bytes) -> tuple[str, Outcome | None]:
    """The order's name, and what became of one call of it; None when there are no more."""
    form = dict(parse_qsl(line.decode().strip(), keep_blank_values=True, strict_parsing=True))
    if len(form) == 1:
        return form["id"], None
    seconds, code = float(form["ms"]) / 1000, form.get("code")
    if "answer" in form:
        return form["id"], Outcome(seconds, answer=form["answer"])
    failed = Outcome(
        seconds, error=form["error"], text=form["text"], code=int(code) if code else None
    )
    return form["id"], failed


@dataclass(frozen=True, slots=True)
class _Running:
    ended: asyncio.Future[None]
    outcomes: list[Outcome] = field(default_factory=list[Outcome])


class Orders:
    """The connection to a consumer. Orders on it may overlap. ``aclose`` ends the consumer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._names = count(1)
        self._running: dict[str, _Running] = {}
        self._reading = asyncio.create_task(self._read(reader))

    async def run(
        self, url: str, call: Call, *, times: int = 1, threads: int = 1
    ) -> tuple[Outcome, ...]:
        """Give an order and wait for its end; the calls in the order in which they ended.

        ``url`` is a Dubbo URL with parameters. Raises ConnectionError when the consumer is gone.
        """
        if self._reading.done():
            raise ConnectionResetError("the Java consumer is gone")
        name = str(next(self._names))
        running = _Running(asyncio.get_running_loop().create_future())
        self._running[name] = running
        try:
            self._writer.write(order_line(name, url, call, times, threads))
            await self._writer.drain()
            await running.ended
            return tuple(running.outcomes)
        finally:
            del self._running[name]

    async def aclose(self) -> None:
        """Close. Orders under way fail with ConnectionError."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(*read_line(line))
        except ConnectionError:
            pass  # it was killed, which is a way to go
        finally:
            for running in self._running.values():
                if not running.ended.done():
                    running.ended.set_exception(ConnectionResetError("the Java consumer is gone"))

    def _take(self, name: str, outcome: Outcome | None) -> None:
        running = self._running.get(name)
        if running is None:
            return  # whoever gave the order has stopped waiting
        if outcome is not None:
            running.outcomes.append(outcome)
        elif not running.ended.done():
            running.ended.set_result(None)
