"""Checks do not disturb each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meltemi.controller.health.result import Result, State, fine
from meltemi.controller.health.running import Check, run
from meltemi.controller.kube.api import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterable


async def good() -> Iterable[Result]:
    return [fine("clock", "all is well")]


def raising(error: Exception) -> Check:
    async def look() -> Iterable[Result]:
        raise error

    return Check("api", look)


async def test_one_that_breaks_is_a_line_of_its_own_and_the_others_go_on() -> None:
    broken, well = await run([raising(KeyError("spec")), Check("clock", good)])
    assert (broken.check, broken.state) == ("api", State.ERROR)
    assert broken.text.startswith("the check itself failed: KeyError: 'spec' (test_running.py:")
    assert well == fine("clock", "all is well")


async def test_one_that_hangs_is_not_waited_for() -> None:
    async def forever() -> Iterable[Result]:
        await asyncio.Event().wait()
        return ()

    hanging, well = await run([Check("api", forever), Check("clock", good)], limit=0.05)
    assert (hanging.state, hanging.text) == (State.ERROR, "nothing was found out in 0.05 seconds")
    assert well.state is State.FINE


async def test_what_may_not_be_looked_at_is_no_error() -> None:
    (denied,) = await run([raising(ApiError(403, "403 no"))])
    (failed,) = await run([raising(ApiError(500, "500 broken"))])
    assert (denied.state, denied.text) == (State.WARNING, "it may not be looked at: 403 no")
    assert (failed.state, failed.text) == (State.ERROR, "it could not be looked at: 500 broken")


async def test_results_come_in_the_order_of_the_checks() -> None:
    async def late() -> Iterable[Result]:
        await asyncio.sleep(0)
        return [fine("api", "")]

    found = await run([Check("api", late), Check("clock", good)])
    assert [each.check for each in found] == ["api", "clock"]
