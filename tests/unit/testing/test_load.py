from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.load import Load

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meltemi.testing.load import Ask


class FakeServer:
    """Answers; loses connections and raises when told so."""

    def __init__(self) -> None:
        self.answer = "v1"
        self.opened = 0
        self.open_now = 0
        self.losing = 0
        self.raising = 0
        self.hanging = False
        self.refusing = 0

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Ask]:
        if self.refusing:
            self.refusing -= 1
            raise ConnectionRefusedError("refused")
        self.opened += 1
        self.open_now += 1
        try:
            yield self.ask
        finally:
            self.open_now -= 1

    async def ask(self) -> str:
        if self.losing:
            self.losing -= 1
            raise ConnectionResetError("lost")
        if self.raising:
            self.raising -= 1
            raise ValueError("bad")
        if self.hanging:
            await asyncio.Event().wait()
        return self.answer


async def test_all_connections_are_open_before_the_first_call_and_closed_at_the_end() -> None:
    server = FakeServer()
    async with Load(server.connect, connections=9, rate=1000) as load:
        assert (server.open_now, load.report().calls) == (9, ())
        await load.more(50)
    assert (server.opened, server.open_now) == (9, 0)


async def test_every_connection_takes_its_share_of_the_calls() -> None:
    async with Load(FakeServer().connect, connections=4, rate=2000) as load:
        await load.more(40)
        counts = Counter(call.connection for call in load.report().calls)
    assert counts.keys() == {0, 1, 2, 3}
    assert min(counts.values()) > 5


async def test_calls_do_not_come_faster_than_asked_for() -> None:
    async with Load(FakeServer().connect, connections=4, rate=400) as load:
        await load.more(40)
        report = load.report()
    assert report.rate < 500


async def test_a_lost_connection_is_a_failed_call_and_a_reconnect() -> None:
    server = FakeServer()
    async with Load(server.connect, connections=2, rate=1000) as load:
        server.losing = 1
        await load.more(20)
        report = load.report()
    assert dict(report.errors) == {"ConnectionResetError: lost": 1}
    assert (report.reconnects, server.opened) == (1, 3)


async def test_opening_again_is_tried_until_it_succeeds() -> None:
    server = FakeServer()
    async with Load(server.connect, connections=1, rate=1000) as load:
        server.losing, server.refusing = 3, 2
        await load.first(lambda call: call.answer is not None)
        report = load.report()
    assert (report.reconnects, server.opened) == (1, 2)


async def test_an_error_answer_is_a_failed_call_without_reconnect() -> None:
    server = FakeServer()
    async with Load(server.connect, connections=2, rate=1000) as load:
        server.raising = 1
        await load.more(20)
        report = load.report()
    assert dict(report.errors) == {"ValueError: bad": 1}
    assert report.reconnects == 0


async def test_a_call_without_an_answer_fails_and_costs_its_connection() -> None:
    server = FakeServer()
    async with Load(server.connect, connections=1, rate=1000, timeout_s=0.05) as load:
        server.hanging = True
        await load.first(lambda call: call.error is not None)
        server.hanging = False
        await load.more(5)
        report = load.report()
    assert (report.failed, report.reconnects) == (1, 1)


async def test_one_can_wait_for_the_first_changed_answer() -> None:
    server = FakeServer()
    async with Load(server.connect, rate=1000) as load:
        await load.more(10)
        changed, server.answer = load.now(), "v2"
        call = await load.first(lambda call: call.answer == "v2")
        assert load.report().first_change(changed, lambda answer: answer == "v2") == (
            call.ended - changed
        )


async def test_taking_a_report_begins_a_new_one() -> None:
    async with Load(FakeServer().connect, rate=1000) as load:
        await load.more(10)
        assert len(load.take().calls) >= 10
        assert load.report().calls == ()


async def test_a_server_that_refuses_at_the_start_is_an_error_and_nothing_stays_open() -> None:
    server = FakeServer()
    server.refusing = 1
    with pytest.raises(ConnectionRefusedError):
        async with Load(server.connect):
            pass
    assert server.open_now == 0
