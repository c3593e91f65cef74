"""The writer of statuses against an API server of a few lines that has an optimistic lock."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from structlog.testing import capture_logs

from meltemi.controller.crds.status import Condition, Rollout, Status
from meltemi.controller.kube import status_writer
from meltemi.controller.kube.api import Api, ApiError
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.mirror import Gone, Name, Seen
from meltemi.controller.kube.status_update import Urgency
from meltemi.controller.kube.status_writer import Outcome, StatusWriter
from meltemi.controller.kube.written import Written, WrittenStatuses
from meltemi.controller.store.objects import Identity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from meltemi.controller.kube.status_update import Transition

RULE = next(kind for kind in WATCHED if kind.kind == "MetaRouter")
PATIENCE_S = 20.0
SINCE = "2027-01-15T08:00:00Z"


def identity(name: str) -> Identity:
    return Identity(RULE.group, RULE.kind, "shop", name)


def programmed(message: str = "", *, refused: bool = False, proxies: int = 1) -> Status:
    reason = "ProxyRejected" if refused else "Programmed"
    condition = Condition("Programmed", "False" if refused else "True", reason, message, 1, SINCE)
    return Status(1, (condition,), Rollout(proxies=proxies))


class World:
    """The API server, its watch, what is wanted, and what the writer said. ``refuse`` has the
    errors of the next writes; ``before_write`` happens while a write is under way.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.written = WrittenStatuses()
        self.wanted: dict[Identity, Status] = {}
        self.leads = True
        self.requests: list[tuple[str, str]] = []
        self.refuse: list[ApiError] = []
        self.before_write: Callable[[str], None] = lambda _: None
        self.forgets: tuple[str, ...] = ()
        self.outcomes: list[Outcome] = []
        self.transitions: list[tuple[str, Transition]] = []
        self._revision = 0

    def put(self, name: str, status: object = None, *, told: bool = True) -> None:
        """Somebody writes an object, and the watch tells it."""
        self._revision += 1
        metadata = {"namespace": "shop", "name": name, "resourceVersion": str(self._revision)}
        body = {"apiVersion": "metaprotocol.aeraki.io/v1alpha1", "kind": "MetaRouter"}
        self.objects[name] = {**body, "metadata": metadata, "status": status}
        if told:
            self.written.take(RULE, identity(name), Seen(Name("shop", name), self.objects[name]))

    def delete(self, name: str) -> None:
        del self.objects[name]

    def status(self, name: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self.objects[name]["status"])

    @property
    def writes(self) -> list[str]:
        return [name for method, name in self.requests if method == "PATCH"]

    async def send(
        self, method: str, path: str, body: Any, *, query: object, content_type: str
    ) -> Any:
        assert query == {"fieldManager": "meltemi"}
        assert content_type == "application/merge-patch+json"
        name = path.removesuffix("/status").rpartition("/")[2]
        assert path == f"{RULE.path('v1alpha1', 'shop')}/{name}/status"
        self.requests.append((method, name))
        await asyncio.sleep(0)
        self.before_write(name)
        if self.refuse:
            raise self.refuse.pop(0)
        found = self._found(name)
        if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise ApiError(409, "409 the object has been modified")
        status = {k: v for k, v in body["status"].items() if k not in self.forgets}
        before: dict[str, Any] = found["status"] or {}
        self.put(name, before | status, told=False)
        return self.objects[name]

    async def get(self, path: str) -> Any:
        name = path.rpartition("/")[2]
        self.requests.append(("GET", name))
        return self._found(name)

    def _found(self, name: str) -> dict[str, Any]:
        if name not in self.objects:
            raise ApiError(404, "404 not found")
        return self.objects[name]

    def told(self, written: Written, transitions: Sequence[Transition]) -> None:
        self.transitions += [(written.name, each) for each in transitions]


@asynccontextmanager
async def writing(
    world: World, clock: Callable[[], float] = monotonic
) -> AsyncGenerator[StatusWriter]:
    writer = StatusWriter(
        cast("Api", world),
        world.written,
        world.wanted.get,
        lambda: world.leads,
        told=world.told,
        counted=world.outcomes.append,
        clock=clock,
    )
    world.written.changed = writer.look
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(writer.run())
        writer.begin()
        try:
            yield writer
        finally:
            running.cancel()


async def idle(writer: StatusWriter) -> None:
    """Nothing waits any more."""
    async with asyncio.timeout(PATIENCE_S):
        while writer.waiting:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pauses, shorter."""
    monkeypatch.setattr(status_writer, "SETTLING_S", 0.01)
    monkeypatch.setattr(status_writer, "APART_S", 0.05)
    monkeypatch.setattr(status_writer, "YOUNG_S", 0.0)
    monkeypatch.setattr(status_writer, "HEARING_S", 0.0)
    monkeypatch.setattr(status_writer, "PATIENCE", {"Pending": 0.2, "NoProxies": 0.3})


async def test_a_new_leader_writes_what_differs_and_nothing_else() -> None:
    world = World()
    for name in ("same", "other", "unknown"):
        world.put(name)
    world.wanted |= {identity("same"): programmed(), identity("other"): programmed(refused=True)}
    async with writing(world) as writer:
        await idle(writer)
        assert sorted(world.writes) == ["other", "same"]
        writer.end()
        writer.begin()
        await idle(writer)
    assert sorted(world.writes) == ["other", "same"]
    assert world.status("other")["conditions"][0]["reason"] == "ProxyRejected"


async def test_our_own_writes_come_back_and_cause_no_other() -> None:
    world = World()
    world.put("x")
    world.wanted[identity("x")] = programmed()
    async with writing(world) as writer:
        await idle(writer)
        world.written.take(RULE, identity("x"), Seen(Name("shop", "x"), world.objects["x"]))
        await idle(writer)
    assert world.writes == ["x"]


async def test_a_conflict_is_written_again_over_what_stands_there_now() -> None:
    world = World()
    world.put("x")
    world.wanted[identity("x")] = programmed()
    foreign = {"conditions": [{"type": "Audited", "status": "True"}]}
    world.before_write = lambda name: (
        world.put(name, foreign, told=False) if len(world.writes) == 1 else None
    )
    async with writing(world) as writer:
        await idle(writer)
    assert world.outcomes == [Outcome.CONFLICT, Outcome.WRITTEN]
    assert [each["type"] for each in world.status("x")["conditions"]] == ["Audited", "Programmed"]


async def test_somebody_elses_hand_in_our_conditions_is_put_right() -> None:
    world = World()
    world.put("x")
    world.wanted[identity("x")] = programmed()
    async with writing(world) as writer:
        await idle(writer)
        world.put("x", {"conditions": []})
        await idle(writer)
    assert world.status("x")["conditions"][0]["type"] == "Programmed"


async def test_an_object_that_is_gone_is_forgotten() -> None:
    world = World()
    world.put("x")
    world.wanted[identity("x")] = programmed()
    world.delete("x")
    async with writing(world) as writer:
        await idle(writer)
        world.written.take(RULE, identity("x"), Gone(Name("shop", "x")))
        await idle(writer)
    assert world.outcomes == [Outcome.GONE]


async def test_a_kind_that_is_defined_without_a_status_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_writer, "HOPELESS_S", 0.05)
    world = World()
    world.put("x")
    world.wanted[identity("x")] = programmed()
    world.refuse = [ApiError(404, "404 page not found")]
    with capture_logs() as logs:
        async with writing(world) as writer:
            await idle(writer)
    assert world.outcomes == [Outcome.GONE, Outcome.WRITTEN]
    assert ["meltemi manifests crds" in each["next_step"] for each in logs] == [True]


async def test_a_server_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_says() -> None:
    world = World()
    for name in ("x", "y"):
        world.put(name)
        world.wanted[identity(name)] = programmed()
    world.refuse = [ApiError(429, "429 too many requests", retry_after=0.5)] * 2
    loop = asyncio.get_running_loop()
    async with writing(world) as writer:
        while len(world.outcomes) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        refused = loop.time()
        await idle(writer)
        assert loop.time() - refused >= 0.4
    assert world.outcomes == [Outcome.FAILED] * 2 + [Outcome.WRITTEN] * 2


async def test_an_object_that_fails_alone_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_writer, "HOPELESS_S", 0.3)
    world = World()
    for name in ("bad", "good"):
        world.put(name)
        world.wanted[identity(name)] = programmed()

    def fail(name: str) -> None:
        if name == "bad" and world.writes.count("bad") < 3:
            raise ApiError((500, 422)[world.writes.count("bad") - 1], "a webhook says no")

    world.before_write = fail
    with capture_logs() as logs:
        async with writing(world) as writer:
            await idle(writer)
    assert world.outcomes[0] is Outcome.FAILED
    assert world.writes[:2] == ["bad", "good"]
    assert world.writes.count("bad") == 3
    assert [each["error"] for each in logs] == ["a webhook says no"] * 2
    assert "meltemi manifests crds" in logs[1]["next_step"]


async def test_a_right_that_lacks_is_said_once_and_what_to_do() -> None:
    world = World()
    for number in range(3):
        world.put(f"x{number}")
        world.wanted[identity(f"x{number}")] = programmed()
    world.refuse = [ApiError(403, "403 metarouters is forbidden")] * 3
    with capture_logs() as logs:
        async with writing(world) as writer:
            while len(world.outcomes) < 3:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert writer.waiting == 3
            assert [each["event"] for each in logs] == ["status.failing"]
    assert "patch the status" in logs[0]["next_step"]


async def test_who_does_not_lead_writes_nothing() -> None:
    world = World()
    world.put("x")
    world.wanted[identity("x")] = programmed()
    world.leads = False
    async with writing(world) as writer:
        await idle(writer)
        writer.end()
        world.leads = True
        writer.look(identity("x"))
        assert writer.waiting == 0
        assert world.requests == []
        writer.begin()
        await idle(writer)
    assert world.writes == ["x"]


async def test_what_changes_quickly_is_written_as_it_is_in_the_end() -> None:
    world = World()
    world.put("x", {"observedGeneration": 0})
    async with writing(world) as writer:
        for status in (programmed(refused=True), programmed("2 of 3"), programmed("3 of 3")):
            world.wanted[identity("x")] = status
            writer.look(identity("x"))
        await idle(writer)
    assert world.writes == ["x"]
    assert world.status("x")["conditions"][0]["message"] == "3 of 3"


async def test_a_problem_overtakes_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    names = [f"x{number}" for number in range(200)]
    for name in names:
        world.put(name)
        world.wanted[identity(name)] = programmed()
    rates = dict.fromkeys(Urgency, 1000.0) | {Urgency.NUMBERS: 1.0}
    monkeypatch.setattr(status_writer, "RATES", rates)
    async with writing(world) as writer:
        await idle(writer)
        for name in names:
            world.wanted[identity(name)] = programmed(proxies=2)
            writer.look(identity(name))
        async with asyncio.timeout(PATIENCE_S):
            while len(world.writes) < 205:  # noqa: ASYNC110  # five seconds' worth
                await asyncio.sleep(0.01)
        world.wanted[identity("x199")] = programmed("bad", refused=True)
        writer.look(identity("x199"))
        async with asyncio.timeout(PATIENCE_S):
            while "bad" not in str(world.status("x199")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert writer.waiting > 150


async def test_a_definition_that_keeps_less_than_is_written_is_not_written_for_ever() -> None:
    world = World()
    world.put("x")
    world.forgets = ("rollout",)
    world.wanted[identity("x")] = programmed()
    with capture_logs() as logs:
        async with writing(world) as writer:
            await idle(writer)
            assert world.writes == ["x"]
            world.wanted[identity("x")] = programmed("more")
            writer.look(identity("x"))
            await idle(writer)
    assert world.writes == ["x", "x"]
    assert [each["event"] for each in logs] == ["status.failing"]


async def test_transitions_are_told_when_they_were_written_and_only_then() -> None:
    world = World()
    world.put("x")
    world.wanted[identity("x")] = programmed(refused=True)
    world.refuse = [ApiError(500, "no")]
    async with writing(world) as writer:
        while not world.outcomes:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert world.transitions == []
        await idle(writer)
    assert [(name, each.is_problem) for name, each in world.transitions] == [("x", True)]


def waits(*, unreadable: bool = False) -> Status:
    """Some proxies did not answer yet."""
    pending = Condition("Programmed", "False", "Pending", "", 1, SINCE)
    accepted = Condition("Accepted", "False", "PartiallyInvalid", "", 1, SINCE)
    return Status(1, (accepted, pending) if unreadable else (pending,), Rollout(pending=1))


async def test_what_proxies_answer_soon_is_written_at_once_and_that_they_did_not_only_later() -> (
    None
):
    world = World()
    world.put("x")
    world.wanted[identity("x")] = waits()
    async with writing(world) as writer:
        await asyncio.sleep(0.05)
        assert world.writes == []
        world.wanted[identity("x")] = programmed(refused=True)
        writer.look(identity("x"))
        await idle(writer)
        assert world.writes == ["x"]
        assert "ProxyRejected" in str(world.status("x"))
        world.wanted[identity("x")] = waits()  # the control
        writer.look(identity("x"))
        await idle(writer)
        assert "Pending" in str(world.status("x"))


async def test_a_problem_does_not_wait_for_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_writer, "PATIENCE", {"Pending": 600.0})
    world = World()
    world.put("x")
    world.wanted[identity("x")] = waits(unreadable=True)
    async with writing(world) as writer:
        await idle(writer)
    assert world.writes == ["x"]


LOST = Status(1, (Condition("Programmed", "False", "NoProxies", "", 1, SINCE),), Rollout())


async def test_proxies_that_come_again_in_time_were_never_gone() -> None:
    world = World()
    world.put("x")
    world.wanted[identity("x")] = programmed()
    async with writing(world) as writer:
        await idle(writer)
        world.wanted[identity("x")] = LOST
        writer.look(identity("x"))
        await asyncio.sleep(0.1)
        assert writer.waiting == 1
        world.wanted[identity("x")] = programmed()
        writer.look(identity("x"))
        await idle(writer)
        assert world.writes == ["x"]
        world.wanted[identity("x")] = LOST  # the control
        writer.look(identity("x"))
        await idle(writer)
    assert world.status("x")["conditions"][0]["reason"] == "NoProxies"


async def test_a_young_process_waits_for_proxies_and_for_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_writer, "YOUNG_S", 600.0)
    world = World()
    wanted = {"lost": LOST, "refused": programmed(refused=True)}
    for name, status in wanted.items():
        world.put(name, msgspec.to_builtins(programmed()))
        world.wanted[identity(name)] = status
    world.put("new")
    world.wanted[identity("new")] = LOST
    async with writing(world) as writer, asyncio.timeout(PATIENCE_S):
        while writer.waiting != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert sorted(world.writes) == ["new", "refused"]


async def outcomes(world: World, number: int) -> None:
    """So many writes have ended, though the clock stands still."""
    async with asyncio.timeout(PATIENCE_S):
        while len(world.outcomes) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_a_new_leader_writes_only_problems_until_others_may_have_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(status_writer, "HEARING_S", 3.0)
    world, now = World(), 1000.0
    for name, proxies in (("fewer", 1), ("refused", 1), ("well", 2)):
        refused = programmed(refused=name == "well", proxies=2)
        world.put(name, msgspec.to_builtins(refused))
        world.wanted[identity(name)] = programmed(refused=name == "refused", proxies=proxies)
    async with writing(world, lambda: now) as writer:
        await outcomes(world, 1)
        await asyncio.sleep(0.05)  # the others would be next
        assert world.writes == ["refused"]
        now += 3.1
        writer.look(identity("well"))  # wakes it
        await outcomes(world, 3)
    assert sorted(world.writes) == ["fewer", "refused", "well"]


async def test_five_hundred_problems_wait_for_nothing() -> None:
    world = World()
    for number in range(500):
        world.put(f"x{number}")
        world.wanted[identity(f"x{number}")] = programmed(refused=True)
    async with writing(world, lambda: 1000.0):
        await outcomes(world, 500)
    assert len(world.writes) == 500


async def test_who_leads_again_does_not_wait_for_what_failed_before() -> None:
    world = World()
    world.put("x")
    world.wanted[identity("x")] = programmed()
    world.refuse = [ApiError(503, "503 the server is away")]
    async with writing(world, lambda: 1000.0) as writer:
        await outcomes(world, 1)
        assert world.outcomes == [Outcome.FAILED]
        writer.end()
        writer.begin()
        await outcomes(world, 2)
    assert world.outcomes == [Outcome.FAILED, Outcome.WRITTEN]
