"""Proxies for any ADS server: N streams, a connection each, that ask, listen and ACK everything.

Run as ``python -m benchmarks.xds.load --target 127.0.0.1:18000 --streams 1000``: it prints how
long connecting took, then a line for every change that the server sends, until Ctrl-C. The
benchmarks run it in a process of its own and command it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import uvloop

from benchmarks.xds.call import Call
from benchmarks.xds.child import Answer, obey
from benchmarks.xds.proxy import METHODS, Heard, Proxy, introduction

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.xds.proxy import DialectName

PATIENCE = 60.0
RETRY = 0.5
"""Seconds after which a stream that the server ended comes back."""

QUIET = 0.3
"""Seconds of silence that end a change, for people who watch."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to connect to, and as whom. ``metadata`` is JSON in which ``%`` is a scope's number."""

    target: str
    dialect: DialectName = "sotw"
    scopes: int = 1
    metadata: str = "{}"
    build: str = ""
    tls: Path | None = None

    def introduction(self, index: int) -> bytes:
        """Of the proxy of that number."""
        scope = str(index % self.scopes)
        metadata = json.loads(self.metadata.replace("%", scope))
        identifier, cluster = f"proxy-{index}", f"scope-{scope}"
        return introduction(self.dialect, identifier, cluster, metadata, self.build)

    def security(self) -> ssl.SSLContext | None:
        """mTLS with ``tls.crt``, ``tls.key`` and ``ca.crt`` of the folder ``tls``."""
        if self.tls is None:
            return None
        context = ssl.create_default_context(cafile=self.tls / "ca.crt")
        context.load_cert_chain(self.tls / "tls.crt", self.tls / "tls.key")
        context.check_hostname = False
        context.set_alpn_protocols(["h2"])
        return context


@dataclass(slots=True)
class Load:
    """Many proxies. ``heard`` is everything since it was last taken."""

    options: Options
    heard: list[Heard] = field(default_factory=list[Heard])
    ended: dict[str, int] = field(default_factory=dict[str, int])
    _proxies: list[Proxy] = field(default_factory=list[Proxy])
    _calls: dict[int, Call] = field(default_factory=dict[int, Call])
    _dialling: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def connect(self, streams: int) -> None:
        """Connect so many more, all at once, and wait until each has an answer of each type."""
        first = len(self._proxies)
        for index in range(first, first + streams):
            dialect = self.options.dialect
            self._proxies.append(
                Proxy(index, self.options.introduction(index), dialect, self.heard.append)
            )
            self._dial(index)
        await self._answered()

    async def reconnect(self) -> None:
        """All hang up and come back at once with what they hold.

        Waits for all responses where there are some: delta proxies that lack nothing get none.
        """
        self._hang_up()
        for index in range(len(self._proxies)):
            self._dial(index)
        await asyncio.gather(*self._dialling)
        if self.options.dialect == "sotw":
            await self._answered()

    def forget(self) -> None:
        """Hang up, and be other proxies next time."""
        self._hang_up()
        self._proxies.clear()

    def take(self) -> list[Heard]:
        """What was heard since last time."""
        heard = self.heard.copy()
        self.heard.clear()
        return heard

    async def until(self, done: Callable[[], bool], patience: float | None = PATIENCE) -> None:
        """Wait for something that only responses bring about. Raises TimeoutError."""
        try:
            async with asyncio.timeout(patience):
                while not done():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise TimeoutError(
                f"no more after {len(self.heard)} responses; ended streams: {self.ended}"
            ) from error

    async def _answered(self) -> None:
        await self.until(lambda: not any(proxy.pending for proxy in self._proxies))

    def _hang_up(self) -> None:
        for call in self._calls.values():
            call.close()
        self._calls.clear()

    def _dial(self, index: int, delay: float = 0.0) -> None:
        self._proxies[index].pending = {"a connection"}
        task = asyncio.create_task(self._open(index, delay))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _open(self, index: int, delay: float) -> None:
        await asyncio.sleep(delay)
        proxy = self._proxies[index]

        def received(message: bytes) -> None:
            proxy.received(message)
            self._changed.set()

        def ended(status: str) -> None:
            self.ended[status] = self.ended.get(status, 0) + 1
            self._dial(index, RETRY)

        call = Call(METHODS[self.options.dialect], received, ended)
        host, _, port = self.options.target.rpartition(":")
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: call, host, int(port), ssl=self.options.security())
        self._calls[index] = call
        proxy.connected(call.send)


def summary(heard: Sequence[Heard]) -> Answer:
    """When streams heard (monotonic seconds: of the first, the median, the 99th percentile, the
    last), how many streams and responses, bytes and resources.
    """
    if not heard:
        return {"streams": 0, "responses": 0, "bytes": 0, "resources": 0}
    times = sorted(each.at for each in heard)
    return {
        "streams": len({each.stream for each in heard}),
        "responses": len(heard),
        "bytes": sum(each.size for each in heard),
        "resources": sum(each.resources for each in heard),
        "first": times[0],
        "p50": times[len(times) // 2],
        "p99": times[len(times) * 99 // 100],
        "last": times[-1],
    }


async def _obey(options: Options) -> None:
    load = Load(options)

    async def do(command: Answer) -> Answer:
        match command["do"]:
            case "connect":
                await load.connect(command["streams"])
            case "reconnect":
                await load.reconnect()
            case "hear":
                await load.until(lambda: len(load.heard) >= command["responses"])
            case "forget":
                load.forget()
            case _:
                pass
        return summary(load.take()) | {"ended": load.ended, "now": monotonic()}

    await obey({}, do)


async def _watch(options: Options, streams: int) -> None:
    load, began = Load(options), monotonic()
    await load.connect(streams)
    while True:
        found = summary(load.take())
        sys.stdout.write(
            f"{found['responses']} responses to {found['streams']} streams, {found['bytes']} bytes,"
            f" the last after {(found['last'] - began) * 1e3:.0f} ms; ended: {load.ended or 'none'}"
            "\n"
        )
        await load.until(lambda: bool(load.heard), patience=None)
        began = load.heard[0].at
        await asyncio.sleep(QUIET)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--target", required=True, help="HOST:PORT of an ADS server")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--dialect", choices=list(METHODS), default="sotw")
    parser.add_argument("--scopes", type=int, default=1, help="how many different proxies to be")
    parser.add_argument("--metadata", default="{}", help="of the node; %% is the scope's number")
    parser.add_argument("--build", default="", help="whose extensions to list, such as envoy-1.40")
    parser.add_argument("--tls", type=Path, help="a folder with tls.crt, tls.key and ca.crt")
    parser.add_argument("--commanded", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    options = Options(
        flags.target, flags.dialect, flags.scopes, flags.metadata, flags.build, flags.tls
    )
    run = _obey(options) if flags.commanded else _watch(options, flags.streams)
    with suppress(KeyboardInterrupt):
        uvloop.run(run)


if __name__ == "__main__":
    main()
