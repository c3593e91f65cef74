"""The calls that run all the time on open connections, and their sums."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from meltemi.demo.backends import CART, PASSWORD
from meltemi.demo.claims import Totals
from meltemi.testing.dubbo import dubbo_caller
from meltemi.testing.load import Load
from meltemi.testing.redis_connection import RedisConnection, redis_caller
from meltemi.testing.thrift import thrift_caller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from meltemi.demo import story
    from meltemi.testing.load import Ask, Connect
    from meltemi.testing.ports import Address
    from meltemi.testing.report import Report

INTERFACE: Final = "org.example.Orders"
COUNTER: Final = "visits"
"""The key that the Redis traffic increments."""

MAIN, SOME, ONE_BY_ONE = (8, 200.0), (2, 200.0), (2, 100.0)
"""Connections, and calls per second over all of them."""


class Healing:
    """Connections as a Redis client's pool keeps them: one that the proxy has closed is opened
    again and the command is sent there. ``reopened`` counts.
    """

    def __init__(self, connect: Connect) -> None:
        self.reopened = 0
        self._connect = connect

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Ask]:
        """For ``Load``."""
        async with AsyncExitStack() as held:
            ask = await held.enter_async_context(self._connect())

            async def ask_until_answered() -> str:
                nonlocal ask
                try:
                    return await ask()
                except ConnectionError:
                    ask = await held.enter_async_context(self._connect())
                    self.reopened += 1
                    return await ask()

            yield ask_until_answered


@dataclass(slots=True)
class Traffic:
    """One kind of call. Its reports are taken piece by piece; the sums cover all that were taken.

    ``rate``: calls per second. ``kept_open``: how many connections it keeps, 0 if each call has one
    of its own. ``healing``: what opens lost connections again before the load notices.
    """

    load: Load
    rate: float
    kept_open: int
    calls: int = 0
    failed: int = 0
    reconnects: int = 0
    healing: Healing | None = None
    errors: Counter[str] = field(default_factory=Counter[str])

    @property
    def reconnected(self) -> int:
        """How often a connection had to be opened again."""
        return self.reconnects + (self.healing.reopened if self.healing else 0)

    def take(self) -> Report:
        """What happened since the last report."""
        report = self.load.take()
        self.calls += len(report.calls)
        self.failed += report.failed
        self.reconnects += report.reconnects
        self.errors += report.errors
        return report

    async def fresh(self, count: int) -> Report:
        """The next ``count`` calls."""
        self.take()
        await self.load.more(count)
        return self.take()


@dataclass(frozen=True, slots=True)
class Crowd:
    """All traffic."""

    kinds: Mapping[story.Traffic, Traffic]

    def totals(self) -> Totals:
        """The sums until now."""
        for each in self.kinds.values():
            each.take()
        every = self.kinds.values()
        return Totals(
            calls=sum(each.calls for each in every),
            failed=sum(each.failed for each in every),
            reconnects=sum(each.reconnected for each in every),
            connections=sum(each.kept_open for each in every),
        )

    def errors(self) -> Counter[str]:
        """How often each error came."""
        return sum((each.errors for each in self.kinds.values()), Counter[str]())


@asynccontextmanager
async def crowd(entrances: Mapping[str, Address]) -> AsyncGenerator[Crowd]:
    """Open all connections and keep calling until the context ends."""
    orders, catalog = entrances["orders.example"], entrances["catalog.example"]
    sessions, eu = entrances["sessions.example"], {"region": "eu"}
    refund = dubbo_caller(orders, INTERFACE, "refund", attachments={**eu})
    reserve = thrift_caller(catalog, "reserve", "", headers=eu)
    healing = Healing(redis_caller(sessions, "INCR", COUNTER, password=PASSWORD))
    async with AsyncExitStack() as running:
        kinds: dict[story.Traffic, Traffic] = {
            "orders": await _run(running, dubbo_caller(orders, INTERFACE, "place"), MAIN),
            "refunds": await _run(running, refund, SOME),
            "catalog": await _run(running, _version(thrift_caller(catalog, "find", "")), MAIN),
            "reservations": await _run(running, _version(reserve), SOME),
            "sessions": await _run(running, healing.connect, MAIN),
            "carts": await _run(running, _on_new_connections(sessions), ONE_BY_ONE),
        }
        kinds["sessions"].healing = healing
        kinds["carts"].kept_open = 0
        yield Crowd(kinds)


async def _run(running: AsyncExitStack, connect: Connect, size: tuple[int, float]) -> Traffic:
    connections, rate = size
    load = Load(connect, connections=connections, rate=rate)
    return Traffic(await running.enter_async_context(load), rate, connections)


def _version(connect: Connect) -> Connect:
    """The Thrift servers answer ``<version>:<name>``."""

    @asynccontextmanager
    async def versioned() -> AsyncGenerator[Ask]:
        async with connect() as ask:

            async def version() -> str:
                return (await ask()).partition(":")[0]

            yield version

    return versioned


def _on_new_connections(address: Address) -> Connect:
    """Reads whose connections are as young as they are: what a new client sees."""

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Ask]:
        async def ask() -> str:
            opening = RedisConnection.open(address, password=PASSWORD)
            async with await opening as connection:
                return str(await connection.ask("GET", CART))

        yield ask

    return connect
