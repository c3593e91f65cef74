"""Candidates on an API server of a few lines, with the clock in the test's hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from structlog.testing import capture_logs

from meltemi.controller.kube import election, lease
from meltemi.controller.kube.api import Api, ApiError
from meltemi.controller.kube.election import DURATION_S, RENEW_S
from meltemi.controller.kube.instance import Instance
from meltemi.controller.kube.lease import Lease
from tests.unit.controller.kube.api_server import FakeApi

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PATH = "/apis/coordination.k8s.io/v1/namespaces/system/leases/meltemi"
PATIENCE_S = 20.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules; only the pauses are real time, and short."""
    monkeypatch.setattr(election, "RETRY_S", 0.01)


@asynccontextmanager
async def candidate(api: FakeApi, clock: Clock, name: str = "a") -> AsyncGenerator[Lease]:
    stands = Lease(cast("Api", api), Instance(name, "system"), clock=clock, wall=clock)
    async with stands.running():
        yield stands


async def looks(api: FakeApi, times: int = 2) -> None:
    """So many more requests, and what came of them."""
    wanted = len(api.requests) + times + 1
    async with asyncio.timeout(PATIENCE_S):
        while len(api.requests) < wanted:
            api.asked.clear()
            await api.asked.wait()


def holder(api: FakeApi) -> str:
    return str(api.objects[PATH]["spec"]["holderIdentity"])


async def test_the_first_leads_renews_and_gives_back() -> None:
    api, clock = FakeApi(), Clock()
    async with candidate(api, clock) as first:
        await asyncio.wait_for(first.begun(), PATIENCE_S)
        assert first.leads
        assert holder(api).startswith("a_")
        before = api.objects[PATH]["spec"]["renewTime"]
        clock.now += 5.0
        await looks(api)
        assert api.objects[PATH]["spec"]["renewTime"] != before
    assert holder(api) == ""
    assert not first.leads


async def test_another_waits_takes_over_when_the_leader_is_silent_and_counts_that() -> None:
    api, clock = FakeApi(), Clock()
    async with candidate(api, clock) as first:
        await asyncio.wait_for(first.begun(), PATIENCE_S)
        silent = FakeApi()
        silent.objects = dict(api.objects)
    async with candidate(silent, clock, "b") as second:
        await looks(silent)
        clock.now += DURATION_S - 1.0
        await looks(silent)
        assert second.follows
        assert not second.leads
        clock.now += 1.0
        await asyncio.wait_for(second.begun(), PATIENCE_S)
        assert silent.objects[PATH]["spec"]["leaseTransitions"] == 1


async def test_a_leader_whose_server_does_not_answer_leads_no_longer_than_it_may() -> None:
    api, clock = FakeApi(), Clock()
    async with candidate(api, clock) as first:
        await asyncio.wait_for(first.begun(), PATIENCE_S)
        api.refuse = [ApiError(500, "500 etcd is away")] * 1000
        clock.now += RENEW_S - 1.0
        await looks(api)
        assert first.leads
        clock.now += 1.0
        assert not first.leads
        await asyncio.wait_for(first.ended(), PATIENCE_S)
        api.refuse = []
        await asyncio.wait_for(first.begun(), PATIENCE_S)
        api.refuse = []


async def test_a_hanging_request_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "ATTEMPT_S", 0.01)
    monkeypatch.setattr(lease, "RESIGN_S", 0.01)
    api = FakeApi()
    api.hanging = True
    with capture_logs() as logs:
        async with candidate(api, Clock()):
            await looks(api, 3)
    assert [(each["event"], each["error"]) for each in logs] == [("leader.failing", "no answer")]


async def test_of_two_who_bid_at_once_one_wins() -> None:
    api, clock = FakeApi(), Clock()
    async with candidate(api, clock) as first, candidate(api, clock, "b") as second:
        await looks(api, 6)
        assert [first.leads, second.leads].count(True) == 1


async def test_who_was_overtaken_finds_out_and_follows() -> None:
    api, clock = FakeApi(), Clock()
    async with candidate(api, clock) as first:
        await asyncio.wait_for(first.begun(), PATIENCE_S)
        spec = {**api.objects[PATH]["spec"], "holderIdentity": "b_1"}
        await api.send("PUT", PATH, {"metadata": {"name": "meltemi"}, "spec": spec})
        await asyncio.wait_for(first.ended(), PATIENCE_S)
        await looks(api)
        assert first.follows
    assert holder(api) == "b_1"


@pytest.mark.parametrize(
    ("error", "next_step"),
    [
        (ApiError(403, "403 leases is forbidden"), "get, create and update leases"),
        (ApiError(404, "404 there is no such namespace"), "create the namespace"),
    ],
)
async def test_who_cannot_have_the_lease_says_so_once_and_never_leads(
    error: ApiError, next_step: str
) -> None:
    api = FakeApi()
    api.refuse = [error] * 1000
    with capture_logs() as logs:
        async with candidate(api, Clock()) as first:
            await looks(api, 5)
            assert not first.leads
            assert not first.follows
    (said,) = logs
    assert said["event"] == "leader.failing"
    assert next_step in said["next_step"]


async def test_a_lease_that_somebody_deleted_is_made_anew() -> None:
    api, clock = FakeApi(), Clock()
    async with candidate(api, clock) as first:
        await asyncio.wait_for(first.begun(), PATIENCE_S)
        api.objects.clear()
        await looks(api, 4)
        assert holder(api).startswith("a_")
        assert first.leads


async def test_what_others_wrote_beside_the_spec_stays() -> None:
    api, clock = FakeApi(), Clock()
    metadata = {"name": "meltemi", "labels": {"kept": "yes"}}
    await api.send("POST", PATH.rpartition("/")[0], {"metadata": metadata, "spec": {}})
    async with candidate(api, clock) as first:
        await asyncio.wait_for(first.begun(), PATIENCE_S)
    assert api.objects[PATH]["metadata"]["labels"] == {"kept": "yes"}


async def test_a_lease_that_cannot_be_read_is_left_alone() -> None:
    api = FakeApi()
    spec = {"leaseDurationSeconds": "long"}
    await api.send("POST", PATH.rpartition("/")[0], {"metadata": {"name": "meltemi"}, "spec": spec})
    with capture_logs() as logs:
        async with candidate(api, Clock()) as first:
            await looks(api, 3)
            assert not first.leads
    assert len(logs) == 1
    assert api.objects[PATH]["spec"] == spec


async def test_a_lease_that_somebody_deleted_is_made_anew_by_its_leader() -> None:
    api, clock = FakeApi(), Clock()
    with capture_logs() as logs:
        async with candidate(api, clock) as first:
            await asyncio.wait_for(first.begun(), PATIENCE_S)
            api.objects.clear()
            await looks(api, 4)
            assert first.leads
            assert holder(api).startswith("a_")
    assert [each["event"] for each in logs] == ["leader.elected", "leader.lost"]
