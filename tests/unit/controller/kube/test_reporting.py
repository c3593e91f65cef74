"""A replica that reports, and a leader that reads it, on an API server of a few lines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from structlog.testing import capture_logs

from meltemi.controller.kube import publisher
from meltemi.controller.kube.api import Api, ApiError
from meltemi.controller.kube.gatherer import Gatherer
from meltemi.controller.kube.instance import Instance
from meltemi.controller.kube.mirror import Gone, Name, Seen
from meltemi.controller.kube.peers import EXPIRES_S, REPEATS_S
from meltemi.controller.kube.publisher import APART_S, BEAT_S, KEY, Publisher
from meltemi.controller.kube.report import Report
from meltemi.controller.statuses.tally import Tally
from meltemi.controller.store.objects import Identity
from tests.unit.controller.kube.api_server import FakeApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

INSTANCE = Instance("b", "system")
PATH = "/api/v1/namespaces/system/configmaps/meltemi-report-b"
RULE = Identity("metaprotocol.aeraki.io", "MetaRouter", "shop", "cart")
PATIENCE_S = 20.0


class World:
    """``needed``: somebody else leads."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.now = 1000.0
        self.needed = True
        self.tallies = {RULE: Tally(1, acked=1)}
        self.asked: list[Identity] = []
        self.looks = 0
        self.publisher = Publisher(
            cast("Api", self.api),
            INSTANCE,
            self._needed,
            objects=lambda: self.tallies,
            tally=self._tally,
            proxies=lambda: 1,
            clock=lambda: self.now,
        )

    def _needed(self) -> bool:
        self.looks += 1
        return self.needed

    def _tally(self, identity: Identity) -> Tally | None:
        self.asked.append(identity)
        return self.tallies.get(identity)

    @property
    def report(self) -> Report | None:
        found = self.api.objects.get(PATH)
        return None if found is None else Report.decode(found["binaryData"][KEY])

    @property
    def version(self) -> str:
        return str(self.api.objects[PATH]["metadata"]["resourceVersion"])

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.002)

    async def passes(self, seconds: float) -> None:
        """So much later, when the publisher has looked a few times."""
        self.now += seconds
        enough = self.looks + 3
        await self.until(lambda: self.looks >= enough)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "TICK_S", 0.002)


@pytest.fixture
async def world() -> Any:
    world = World()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.publisher.run())
        yield world
        running.cancel()


async def test_a_replica_reports_at_once_then_when_something_changes_and_goes_in_order() -> None:
    world = World()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.publisher.run())
        await world.until(lambda: world.report is not None)
        assert world.report == Report(1, world.tallies)
        world.tallies = {RULE: Tally(2, acked=1)}
        world.publisher.look(RULE)
        await world.passes(APART_S - 0.1)
        assert world.report != Report(1, world.tallies)
        await world.passes(0.1)
        await world.until(lambda: world.report == Report(1, world.tallies))
        running.cancel()
    assert PATH not in world.api.objects


async def test_a_replica_with_nothing_new_shows_that_it_lives(world: World) -> None:
    await world.until(lambda: world.report is not None)
    before, asked = world.version, len(world.asked)
    await world.passes(BEAT_S - 0.1)
    assert world.version == before
    await world.passes(0.1)
    await world.until(lambda: world.version != before)
    assert len(world.asked) == asked


async def test_who_leads_or_knows_no_leader_reports_nothing_and_withdraws(world: World) -> None:
    await world.until(lambda: world.report is not None)
    world.needed = False
    await world.until(lambda: world.report is None)
    requests = len(world.api.requests)
    await world.passes(BEAT_S)
    assert len(world.api.requests) == requests
    world.needed = True
    await world.until(lambda: world.report == Report(1, world.tallies))


async def test_what_a_crashed_replica_of_the_same_name_left_is_withdrawn() -> None:
    world = World()
    world.needed = False
    stale = {"metadata": {"name": "meltemi-report-b"}}
    await world.api.send("POST", PATH.rpartition("/")[0], stale)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.publisher.run())
        await world.until(lambda: PATH not in world.api.objects)
        running.cancel()


async def test_a_report_that_is_refused_is_said_once_and_tried_again() -> None:
    world = World()
    world.api.refuse = [ApiError(403, "403 configmaps is forbidden")] * 3
    with capture_logs() as logs:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(world.publisher.run())
            async with asyncio.timeout(PATIENCE_S):
                while world.report is None:
                    world.now += 10.0
                    await asyncio.sleep(0.002)
            running.cancel()
    assert [each["event"] for each in logs] == ["report.failing"]
    assert "configmaps" in logs[0]["next_step"]


async def test_a_report_is_emptied_before_it_is_removed(world: World) -> None:
    await world.until(lambda: world.report is not None)
    world.needed = False
    await world.until(lambda: world.report is None)
    assert [method for method, _ in world.api.requests[-2:]] == ["PUT", "DELETE"]


async def test_a_server_that_was_away_for_long_has_the_report_soon_after() -> None:
    world = World()
    world.api.refuse = [ApiError(503, "503 the server is away")] * 10
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.publisher.run())
        for left in reversed(range(10)):
            await world.until(lambda left=left: len(world.api.refuse) <= left)  # type: ignore[misc]
            world.now += BEAT_S
        await world.until(lambda: world.report is not None)
        running.cancel()


# -- the leader's side -----------------------------------------------------------------------------


class Leader:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.now = 1000.0
        self.leads = True
        self.heard: list[set[Identity] | None] = []
        self.gatherer = Gatherer(
            cast("Api", self.api),
            Instance("a", "system"),
            lambda: self.leads,
            self._changed,
            clock=lambda: self.now,
        )

    def _changed(self, identities: Iterable[Identity] | None) -> None:
        self.heard.append(None if identities is None else set(identities))

    async def hear(self, name: str, data: object) -> None:
        """A report is written, and the watch tells it."""
        where, _, _ = PATH.rpartition("/")
        self.api.objects.pop(f"{where}/{name}", None)
        body = {"metadata": {"name": name}, "binaryData": {KEY: data}}
        stored = await self.api.send("POST", where, body)
        self.gatherer.deliver([Seen(Name("system", name), stored)])


async def test_reports_of_others_count_and_our_own_and_strangers_do_not() -> None:
    leader = Leader()
    report = Report(1, {RULE: Tally(1, acked=1)}).encode()
    for name in ("meltemi-report-a", "somebody-elses", "meltemi-report-b", "meltemi-report-c"):
        await leader.hear(name, report)
    assert len(leader.gatherer) == 2
    assert leader.gatherer.tally(RULE) == Tally(1, acked=2)
    assert leader.heard == [{RULE}, {RULE}]
    await leader.hear("meltemi-report-b", Report(0, {}).encode())
    leader.gatherer.deliver([Gone(Name("system", "meltemi-report-b"))])
    assert len(leader.gatherer) == 1
    assert leader.gatherer.tally(RULE) == Tally(1, acked=1)
    assert leader.heard[-1] is None


async def test_a_report_that_somebody_deleted_counts_until_it_is_repeated() -> None:
    leader = Leader()
    report = Report(1, {RULE: Tally(1, nacked=1)}).encode()
    gone = Gone(Name("system", "meltemi-report-b"))
    await leader.hear("meltemi-report-b", report)
    leader.gatherer.deliver([gone])
    leader.now += REPEATS_S - 1.0
    await leader.gatherer.sweep()
    assert leader.gatherer.tally(RULE) == Tally(1, nacked=1)
    await leader.hear("meltemi-report-b", report)
    leader.now += REPEATS_S
    await leader.gatherer.sweep()
    assert len(leader.gatherer) == 1
    leader.gatherer.deliver([gone])
    leader.now += REPEATS_S
    await leader.gatherer.sweep()
    assert leader.gatherer.tally(RULE) is None
    assert leader.heard == [{RULE}, None]


async def test_a_report_that_nobody_repeats_counts_no_more_and_is_removed() -> None:
    leader = Leader()
    await leader.hear("meltemi-report-b", Report(1, {}).encode())
    await leader.hear("meltemi-report-c", Report(1, {}).encode())
    leader.now += EXPIRES_S / 2
    await leader.hear("meltemi-report-c", Report(1, {}).encode())
    leader.now += EXPIRES_S / 2
    await leader.gatherer.sweep()
    assert len(leader.gatherer) == 1
    assert [path.rpartition("-")[2] for path in leader.api.objects] == ["c"]


async def test_a_report_that_comes_to_life_at_the_last_moment_is_not_removed() -> None:
    leader = Leader()
    await leader.hear("meltemi-report-b", Report(1, {}).encode())
    leader.now += EXPIRES_S
    # Written, and not told yet.
    await leader.api.send("PUT", PATH, {"metadata": {"name": "meltemi-report-b"}})
    await leader.gatherer.sweep()
    assert PATH in leader.api.objects


async def test_who_leads_no_more_removes_nothing() -> None:
    leader = Leader()
    await leader.hear("meltemi-report-b", Report(1, {}).encode())
    leader.now += EXPIRES_S
    leader.leads = False
    await leader.gatherer.sweep()
    assert PATH in leader.api.objects


async def test_a_report_of_another_version_is_said_once_and_counts_nothing() -> None:
    leader = Leader()
    with capture_logs() as logs:
        for _ in range(3):
            await leader.hear("meltemi-report-b", "of tomorrow")
    assert [each["event"] for each in logs] == ["report.unreadable"]
    assert leader.gatherer.tally(RULE) == Tally()
