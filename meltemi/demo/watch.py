"""Measures one step: the shares before and after, and the time from the save to its sign."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from meltemi.demo.backends import VERSIONS
from meltemi.demo.claims import Observed
from meltemi.demo.story import BREAK, BROKEN_CODE
from meltemi.demo.traffic import COUNTER
from meltemi.testing.load import Load
from meltemi.testing.redis_connection import RedisConnection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping

    from meltemi.demo import story
    from meltemi.demo.claims import Claim, Told
    from meltemi.demo.rig import Rig
    from meltemi.demo.rules import Rules
    from meltemi.demo.story import Step
    from meltemi.demo.traffic import Crowd, Traffic
    from meltemi.testing.report import Call
    from meltemi.testing.valkey import Valkey

NEW: Final = VERSIONS[1]
PATIENCE_S: Final = 10.0
"""How long a sign or a finding may take before it counts as never."""
WINDOW_S: Final = 2.0
"""How much traffic a share is taken from."""
POLL_S: Final = 0.01

_Seen = TypeVar("_Seen")


class Gauge(Protocol):
    """What one kind of traffic says about the versions behind it."""

    async def share(self) -> float:
        """The new version's part of the calls from now on, 0 to 1."""
        ...

    async def changed(self, towards: str) -> float:
        """Wait for the first sign that more goes to that version; its moment on the load's clock.
        ``share`` must have been asked before. Watches from the moment of the call, without a gap.
        """
        ...


class Versions:
    """A gauge for calls that are answered with the version of who answered."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._usual: dict[str, int] = dict.fromkeys(VERSIONS, 0)

    async def share(self) -> float:
        report = await self._traffic.fresh(enough(self._traffic))
        self._usual = {version: longest_run(report.calls, version) for version in VERSIONS}
        return report.share(NEW)

    async def changed(self, towards: str) -> float:
        """Weights are dealt in a fixed rhythm, so the first answer that breaks it shows new ones:
        more answers of one version in a row than there ever were before.
        """
        usual, run = self._usual[towards], 0

        def breaks_the_rhythm(call: Call) -> bool:
            nonlocal run
            run = run + 1 if call.answer == towards else 0
            return run > usual

        return (await self._traffic.load.first(breaks_the_rhythm)).ended


def longest_run(calls: Iterable[Call], answer: str) -> int:
    """How many calls in a row got this answer at most."""
    longest = run = 0
    for call in calls:
        run = run + 1 if call.answer == answer else 0
        longest = max(longest, run)
    return longest


def heed_cancellation() -> None:
    """End the current task if that was asked for: the Redis library may lose the request."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class Mirrored:
    """A gauge for writes that are copied: each increments a counter, here and perhaps there."""

    def __init__(
        self, traffic: Traffic, current: RedisConnection, successor: RedisConnection
    ) -> None:
        self._traffic = traffic
        self._current, self._successor = current, successor
        self._copied = 0

    async def share(self) -> float:
        written, copied = await self._counts()
        await self._traffic.fresh(enough(self._traffic))
        now_written, self._copied = await self._counts()
        return (self._copied - copied) / (now_written - written) if now_written > written else 0.0

    async def changed(self, towards: str) -> float:
        # Nothing in another process wakes us.
        while await _count(self._successor) == self._copied:
            heed_cancellation()
            await asyncio.sleep(0.001)
        return Load.now()

    async def _counts(self) -> tuple[int, int]:
        """What was written and copied until the same moment, also where this process is slow."""
        return await asyncio.gather(_count(self._current), _count(self._successor))


async def _count(server: RedisConnection) -> int:
    return int(str(await server.ask("GET", COUNTER) or 0))


def enough(traffic: Traffic) -> int:
    """How many calls make a share."""
    return round(traffic.rate * WINDOW_S)


@asynccontextmanager
async def gauges(rig: Rig, crowd: Crowd) -> AsyncGenerator[Mapping[story.Traffic, Gauge]]:
    """A gauge for each kind of traffic; two of the servers are asked directly meanwhile."""
    found: dict[story.Traffic, Gauge] = {
        name: Versions(traffic) for name, traffic in crowd.kinds.items()
    }
    async with (
        await _directly(rig.backends.current) as current,
        await _directly(rig.backends.successor) as successor,
    ):
        found["sessions"] = Mirrored(crowd.kinds["sessions"], current, successor)
        yield found


async def _directly(server: Valkey) -> RedisConnection:
    return await RedisConnection.open(server.address, password=server.password)


async def perform(step: Step, gauge: Gauge, rig: Rig, crowd: Crowd) -> Observed:
    """Save the step's edit while all traffic runs, and see what it does."""
    begin = crowd.totals()
    before = await gauge.share()
    saved = Load.now()
    await rig.rules.save(step.edit)
    change = await _in_time(gauge.changed(step.towards))
    after = await gauge.share()
    end = crowd.totals()
    return Observed(
        saved=saved,
        change=None if change is None else change - saved,
        before=before,
        after=after,
        calls=end.calls - begin.calls,
        failed=end.failed - begin.failed,
    )


async def _in_time(wanted: Awaitable[_Seen]) -> _Seen | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            return await wanted
    return None


async def mistake(gauge: Gauge, rig: Rig, crowd: Crowd) -> tuple[Observed, Told | None]:
    """Save the mistake: what it does to the traffic, and what is told about it."""
    telling = asyncio.create_task(_in_time(_told(rig.rules, BROKEN_CODE)))
    try:
        observed = await perform(BREAK, gauge, rig, crowd)
        found = await telling
    finally:
        telling.cancel()
    if found is None:
        return observed, None
    told, moment = found
    return observed, replace(told, after=moment - observed.saved)


async def _told(rules: Rules, code: str) -> tuple[Told, float]:
    while (told := await rules.told(code)) is None:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)
    return told, Load.now()


async def corrected(rules: Rules) -> Claim:
    """Whether nothing is wrong with the rules, once what was wrong had time to go."""
    await _in_time(_nothing_wrong(rules))
    return await rules.corrected()


async def _nothing_wrong(rules: Rules) -> None:
    while not (await rules.corrected()).held:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)
