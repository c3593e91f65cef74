"""Real servers, and calls that never pause: on connections that stay and on new ones."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from meltemi.testing.dubbo import DubboServer, dubbo_caller
from meltemi.testing.load import Load
from meltemi.testing.ports import LOOPBACK, Address, unanswered_address
from meltemi.testing.thrift import ThriftServer, thrift_caller
from meltemi.testing.valkey import Valkey
from tests.churn.world import LIVE, PORTS, VERSIONS, Addresses

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from meltemi.testing.load import Ask, Connect
    from meltemi.testing.report import Report

RATE, RATE_OF_NEW = 20.0, 5.0
"""Calls per second of one kind on connections that stay, and on new ones."""

BACKOFF_S = 0.05


@contextmanager
def _refusing_address() -> Generator[Address]:
    """An address that refuses connections, and that no server can take meanwhile."""
    with socket.socket() as held:
        held.bind((LOOPBACK, 0))
        yield Address(*held.getsockname())


@asynccontextmanager
async def servers() -> AsyncGenerator[Addresses]:
    """Servers of every protocol, and addresses where there is none."""
    async with AsyncExitStack() as opening:
        dead = {
            "v1.refuses": opening.enter_context(_refusing_address()),
            "v2.silent": opening.enter_context(unanswered_address()),
        }
        dubbo = {name: await opening.enter_async_context(DubboServer(name)) for name in LIVE}
        thrift = {name: await opening.enter_async_context(ThriftServer(name)) for name in LIVE}
        valkeys = {each: await opening.enter_async_context(Valkey()) for each in VERSIONS}
        plain = {name: server.address for name, server in dubbo.items()} | dead
        yield {
            "dubbo": plain,
            "tcp": plain,
            "thrift": {name: server.address for name, server in thrift.items()} | dead,
            "redis": {name: valkeys[name.partition(".")[0]].address for name in LIVE},
        }


def caller(protocol: str, at: Address, method: str = "hello") -> Connect:
    """Connections on which a call of this protocol is made again and again."""
    match protocol:
        case "redis":
            return _counting(at, f"{method}:visits")
        case "thrift":
            return thrift_caller(at, method, "ann")
        case _:
            return dubbo_caller(at, "demo.Greeter", method)


def _counting(address: Address, key: str) -> Connect:
    """The real client with a pool of one connection: it looks whether that is still open before
    each command, and tries again when it is closed just then, up to three times (its default is
    more). Envoy may close a new connection as well: one that its worker still gave to the filter
    chain which the main thread had begun to drain.
    """

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Ask]:
        retry = Retry(ConstantBackoff(BACKOFF_S), 3)
        client = Redis(
            host=address.host, port=address.port, protocol=2, max_connections=1, retry=retry
        )

        async def ask() -> str:
            try:
                return str(await client.incr(key))
            except RedisConnectionError as error:
                raise ConnectionError(str(error)) from error

        async with client:
            yield ask

    return connect


def anew(connect: Connect) -> Connect:
    """The same call, each on a connection of its own."""

    @asynccontextmanager
    async def nothing() -> AsyncGenerator[Ask]:
        async def ask() -> str:
            async with connect() as once:
                return await once()

        yield ask

    return nothing


@dataclass(slots=True)
class Totals:
    """What all calls so far came to."""

    calls: int = 0
    on_new: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    failures: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    """When failed calls began, in the clock of ``Load.now``, and what they were."""

    def add(self, name: str, report: Report, *, new: bool) -> None:
        """Count a report."""
        self.calls += len(report.calls)
        self.on_new += len(report.calls) if new else 0
        self.failed += Counter({f"{name}: {why}": n for why, n in report.errors.items()})
        self.failures += [
            (call.began, f"{name}: {call.error}") for call in report.calls if call.error is not None
        ]


@asynccontextmanager
async def traffic(bind: str, totals: Totals) -> AsyncGenerator[None]:
    """Calls to all services that stay. What they come to is added at the end."""
    kinds: dict[str, Connect] = {}
    for protocol, port in PORTS.items():
        for method in ("hello", "other"):
            kinds[f"{protocol} {method}"] = caller(protocol, Address(bind, port), method)
    loads: list[tuple[str, bool, Load]] = []
    try:
        async with AsyncExitStack() as opening:
            for name, connect in kinds.items():
                # A plain connection stays where it is, and ends with its listener's drain.
                if not name.startswith("tcp"):
                    load = Load(connect, connections=2, rate=RATE)
                    loads.append((name, False, await opening.enter_async_context(load)))
                load = Load(anew(connect), connections=2, rate=RATE_OF_NEW)
                loads.append((name, True, await opening.enter_async_context(load)))
            yield
    finally:
        for name, new, load in loads:
            totals.add(name + (" on new connections" if new else ""), load.report(), new=new)
