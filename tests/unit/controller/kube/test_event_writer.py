"""Which transitions become Events, and how often the same is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from structlog.testing import capture_logs

from meltemi.controller.crds.status import Condition
from meltemi.controller.kube import event_writer
from meltemi.controller.kube.api import Api, ApiError
from meltemi.controller.kube.event_series import FORGOTTEN_S, KNOWN, EventSeries
from meltemi.controller.kube.event_writer import EventWriter
from meltemi.controller.kube.instance import Instance
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.status_update import Transition
from meltemi.controller.kube.written import Written
from tests.unit.controller.kube.api_server import FakeApi

if TYPE_CHECKING:
    import pytest

KINDS = {kind.kind: kind for kind in WATCHED}
WALL = 1_800_000_000.0
PATIENCE_S = 20.0


def about(kind: str = "MetaRouter", namespace: str = "shop") -> Written:
    return Written(KINDS[kind], namespace, "cart", f"{KINDS[kind].group}/v1alpha1", "u-1", 7, b"{}")


def transition(
    before: str, status: Any, reason: str, message: str = "", type: str = "Programmed"
) -> Transition:
    return Transition(before, Condition(type, status, reason, message))


REFUSED = transition("True", "False", "ProxyRejected", "1 of 1 proxy refused it; port in use")
WELL = transition("False", "True", "Programmed", "1 of 1 proxy accepted it")


class World:
    """``leads``: what the writer is told, whenever it asks."""

    def __init__(self, *leads: bool) -> None:
        self.api = FakeApi()
        self.now = 0.0
        self._leads = iter(leads)
        self._numbers = count()
        self.writer = EventWriter(
            cast("Api", self.api),
            Instance("meltemi-0"),
            lambda: next(self._leads, True),
            clock=lambda: self.now,
            wall=lambda: WALL + self.now,
        )

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for path, event in self.api.objects.items() if "/last-" not in path]

    async def tell(self, *transitions: Transition, of: Written | None = None) -> None:
        """And wait until the Event of another object, which comes after, is there."""
        last = replace(about(), name=f"last-{next(self._numbers)}", uid="last")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.writer.run())
            self.writer.tell(of or about(), transitions)
            self.writer.tell(last, [transition("", "False", "ProxyRejected", last.name)])
            async with asyncio.timeout(PATIENCE_S):
                while not any(f"/{last.name}." in path for path in self.api.objects):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            running.cancel()


async def test_a_problem_is_a_warning_about_the_object_in_envoys_words() -> None:
    world = World()
    await world.tell(REFUSED)
    (event,) = world.events
    assert event["metadata"]["namespace"] == "shop"
    assert event["metadata"]["name"].startswith("cart.")
    assert (event["type"], event["reason"]) == ("Warning", "ProxyRejected")
    assert event["message"] == "1 of 1 proxy refused it; port in use"
    assert event["involvedObject"] == {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "namespace": "shop",
        "name": "cart",
        "uid": "u-1",
    }
    assert (event["count"], event["lastTimestamp"]) == (1, "2027-01-15T08:00:00Z")


async def test_what_gets_well_is_told_and_what_always_was_well_is_not() -> None:
    world = World()
    await world.tell(
        WELL,
        transition("", "True", "Accepted", type="Accepted"),
        transition("True", "True", "AcceptedWithWarnings", type="Accepted"),
        transition("", "False", "Pending"),
        transition("True", "False", "NoProxies"),
        transition("", "False", "NoConflict", type="Conflicted"),
    )
    assert [(each["type"], each["reason"]) for each in world.events] == [("Normal", "Programmed")]


async def test_a_problem_that_an_object_has_from_the_start_is_told() -> None:
    world = World()
    await world.tell(transition("", "True", "HostClaimed", type="Conflicted"))
    assert [each["type"] for each in world.events] == ["Warning"]


async def test_the_same_again_is_counted_on_the_event_that_there_is() -> None:
    world = World()
    for _ in range(3):
        await world.tell(REFUSED)
        await world.tell(WELL)
        world.now += 60.0
    assert sorted(each["count"] for each in world.events) == [3, 3]
    assert {each["firstTimestamp"] for each in world.events} == {"2027-01-15T08:00:00Z"}
    assert {each["lastTimestamp"] for each in world.events} == {"2027-01-15T08:02:00Z"}
    await world.tell(REFUSED, of=replace(about(), uid="u-2"))
    await world.tell(transition("True", "False", "ProxyRejected", "other words"))
    assert len(world.events) == 4


async def test_objects_of_the_cluster_have_their_events_in_the_default_namespace() -> None:
    world = World()
    await world.tell(REFUSED, of=about("ApplicationProtocol", ""))
    (path, _) = world.api.objects
    assert path.rpartition("/")[0] == "/api/v1/namespaces/default/events"


async def test_an_event_that_cannot_be_told_is_let_go_and_said_with_a_limit() -> None:
    world = World()
    world.api.refuse = [ApiError(403, "403 events is forbidden")] * 2
    with capture_logs() as logs:
        await world.tell(REFUSED, WELL)
        await world.tell(transition("", "False", "FilterUnsupported"))
    assert [each["event"] for each in logs] == ["event.failing"]
    assert len(world.events) == 1


async def test_an_event_that_somebody_deleted_is_told_anew() -> None:
    world = World()
    await world.tell(REFUSED)
    world.api.objects.clear()
    await world.tell(REFUSED)
    assert [each["count"] for each in world.events] == [1]
    await world.tell(REFUSED)
    assert [each["count"] for each in world.events] == [2]


async def test_who_does_not_lead_tells_nothing() -> None:
    world = World(False)
    await world.tell(REFUSED)
    assert world.events == []


async def test_of_a_storm_the_latest_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_writer, "RATE", 1000.0)
    world = World()
    storm = [transition("", "False", "ProxyRejected", str(number)) for number in range(3000)]
    world.writer.tell(about(), storm)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.writer.run())
        async with asyncio.timeout(PATIENCE_S):
            while len(world.events) < event_writer.WAITING:
                world.now += 0.01
                await asyncio.sleep(0.001)
        running.cancel()
    assert {int(each["message"]) for each in world.events} == set(range(2000, 3000))


def test_what_was_told_long_ago_is_told_by_a_new_event() -> None:
    series = EventSeries()
    first = series.tell("x", "cart", 0.0)
    assert series.tell("x", "cart", FORGOTTEN_S - 1.0).name == first.name
    later = series.tell("x", "cart", 2 * FORGOTTEN_S)
    assert later.name != first.name
    assert later.count == 1


def test_only_so_many_are_remembered() -> None:
    series = EventSeries()
    for number in range(KNOWN + 1):
        series.tell(number, "cart", 0.0)
    assert series.tell(KNOWN, "cart", 0.0).count == 2
    assert series.tell(0, "cart", 0.0).count == 1


def test_the_name_of_an_event_fits_however_long_the_objects_is() -> None:
    told = EventSeries().tell("x", "a" * 199 + ".-" + "b" * 52, 0.0)
    assert len(told.name) < 253
    assert ".-" not in told.name
