"""How the demo sees a change of weights in a stream of answers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from typing import TYPE_CHECKING

import pytest

from meltemi.demo import watch
from meltemi.demo.traffic import Healing, Traffic
from meltemi.demo.watch import Versions, heed_cancellation, longest_run
from meltemi.testing.load import Load
from meltemi.testing.report import Call

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from meltemi.testing.load import Ask

RATE = 2000.0
OLD, NEW = ("v1", "v1", "v2"), ("v2", "v2", "v1")


class Server:
    """Answers with versions in a rhythm; ``broken`` loses connections until they are new."""

    def __init__(self) -> None:
        self.answers: Iterator[str] = cycle(OLD)
        self.broken = False

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[Ask]:
        born_broken = self.broken

        async def ask() -> str:
            if self.broken and not born_broken:
                raise ConnectionResetError("closed by the proxy")
            return next(self.answers)

        yield ask


def test_the_longest_run_of_an_answer_counts_neighbours_only() -> None:
    calls = [Call(0, 0.0, 0.0, answer) for answer in ("v2", "v1", "v2", "v2", "v1")]
    assert longest_run(calls, "v2") == 2
    assert longest_run(calls, "v3") == 0


async def test_the_old_rhythm_is_no_change_and_the_new_one_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "WINDOW_S", 30 / RATE)
    server = Server()
    async with Load(server.connect, connections=1, rate=RATE) as load:
        gauge = Versions(Traffic(load, RATE, 1))
        assert await gauge.share() == pytest.approx(1 / 3)
        changed = asyncio.create_task(gauge.changed("v2"))
        await load.more(30)
        assert not changed.done()
        server.answers = cycle(NEW)
        await changed
        assert await gauge.share() == pytest.approx(2 / 3)


async def test_a_cancellation_that_a_library_lost_is_heeded_later() -> None:
    lost = asyncio.Event()

    async def playing() -> None:
        with suppress(asyncio.CancelledError):
            lost.set()
            await asyncio.Event().wait()
        heed_cancellation()

    play = asyncio.create_task(playing())
    await lost.wait()
    play.cancel()
    await asyncio.wait({play})
    assert play.cancelled()


async def test_a_connection_that_the_proxy_closed_is_opened_again_and_counted() -> None:
    server = Server()
    healing = Healing(server.connect)
    async with healing.connect() as ask:
        await ask()
        server.broken = True
        assert await ask() in OLD
    assert healing.reopened == 1
