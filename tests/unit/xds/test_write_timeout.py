"""One timer for many waits."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from meltemi.xds.write_timeout import WriteTimeout

LONG = 3600.0


async def test_a_wait_that_takes_too_long_times_out() -> None:
    with closing(WriteTimeout(0.0)) as patience, pytest.raises(TimeoutError), patience:
        await asyncio.Event().wait()


async def test_each_wait_has_all_the_time() -> None:
    done = asyncio.Event()
    with closing(WriteTimeout(0.02)) as patience:
        for _ in range(5):
            asyncio.get_running_loop().call_later(0.01, done.set)
            with patience:
                await done.wait()
            done.clear()
        with pytest.raises(TimeoutError), patience:
            await done.wait()


async def test_what_is_awaited_between_the_waits_takes_its_time() -> None:
    looked = asyncio.Event()
    with closing(WriteTimeout(0.0)) as patience:
        with patience:
            pass
        asyncio.get_running_loop().call_later(0.01, looked.set)
        await looked.wait()
    assert asyncio.current_task() is not None


async def test_a_wait_can_be_ended_at_once_and_the_task_goes_on() -> None:
    loop = asyncio.get_running_loop()
    with closing(WriteTimeout(LONG)) as patience:
        patience.end()  # there is none
        loop.call_soon(patience.end)
        with pytest.raises(TimeoutError), patience:
            await asyncio.Event().wait()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0


async def test_who_cancels_the_task_cancels_it() -> None:
    waits = asyncio.Event()

    async def run() -> None:
        with closing(WriteTimeout(LONG)) as patience, patience:
            waits.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_another_error_passes() -> None:
    with closing(WriteTimeout(LONG)) as patience, pytest.raises(KeyError), patience:
        raise KeyError


async def test_many_waits_set_one_timer() -> None:
    loop = asyncio.get_running_loop()
    with closing(WriteTimeout(LONG)) as patience:
        with patience:
            first = patience.timer
        for _ in range(3):
            with patience:
                pass
        assert patience.timer is first
        assert first is not None
    assert first.cancelled()
    assert loop.time() < first.when()
