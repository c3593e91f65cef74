"""A busy event loop is noticed."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from meltemi.controller.heartbeat import heartbeat

BUSY = 0.05


async def test_an_event_loop_that_is_kept_busy_is_late_by_as_much() -> None:
    told: asyncio.Queue[float] = asyncio.Queue()
    beating = asyncio.create_task(heartbeat(told.put_nowait, beat=0.001))
    await told.get()
    time.sleep(BUSY)  # noqa: ASYNC251  # this is what keeps it busy
    assert max(await told.get(), await told.get()) >= BUSY - 0.001
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating
