"""Several replicas of Meltemi on one API server: one writes, all serve, and any of them may die."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from meltemi.controller.kube.election import DURATION_S
from meltemi.controller.manifests.rules import reading
from meltemi.testing.ports import LOOPBACK
from meltemi.testing.standalone import standalone_envoy
from tests.churn.relay import Relay
from tests.cluster.objects import apply, router
from tests.cluster.replicas import (
    READER,
    SYSTEM,
    Stage,
    redis_entry,
    redis_service,
    staged,
    until,
)
from tests.cluster.seen import connected, held, metric, sent, taken_in, total

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from meltemi.testing.control_plane import MeltemiProcess

pytestmark = [pytest.mark.cluster, pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

TAKEOVER_S = 20.0
PUSHES = "meltemi_xds_pushes_total"
NOTHING_BYTES = 2000
"""More than a changed rule takes, and empty answers; far less than all that there is."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    async with staged(assets, tmp_path_factory.mktemp("replicas")) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def stage(shared: Stage) -> Stage:
    await shared.clear()
    return shared


@asynccontextmanager
async def pair(stage: Stage) -> AsyncGenerator[tuple[MeltemiProcess, MeltemiProcess]]:
    """A leader and another replica."""
    async with stage.replica("one") as leader:
        await stage.until_leads(leader)
        async with stage.replica("two") as other:
            await until(lambda: reported(leader, 1), lambda: "the leader heard of no other replica")
            yield leader, other


async def reported(leader: MeltemiProcess, replicas: int) -> bool:
    return await metric(leader, "meltemi_replica_reports") == replicas


async def proxies(stage: Stage, name: str, number: int) -> bool:
    """Whether so many have accepted the rule."""
    status = (await stage.get("MetaRouter", name)).get("status", {})
    rollout = status.get("rollout", {})
    return (rollout.get("proxies"), rollout.get("acked")) == (number, number)


async def test_the_leader_counts_the_proxies_of_all(stage: Stage) -> None:
    await stage.put("shop")
    async with pair(stage) as (leader, other), AsyncExitStack() as open_:
        for number, replica in enumerate((leader, other, other)):
            # They share the port of the listener, as Envoys may.
            envoy = standalone_envoy(replica.xds, f"envoy-{number}")
            await open_.enter_async_context(envoy)
            await envoy.wait_ready()
        await until(lambda: proxies(stage, "shop", 3), lambda: "not all proxies are counted")
        await apply(stage.admin, router("default", "shop", "v2"))
        await stage.until_condition("MetaRouter", "shop", "Programmed")
        assert await proxies(stage, "shop", 3)
        await other.terminate()
        await until(lambda: reported(leader, 0), lambda: "a replica that has ended still counts")
        await until(lambda: proxies(stage, "shop", 1), lambda: "proxies that are gone still count")
    assert "report" not in await stage.kubectl.run("get", "configmap", "-n", SYSTEM)


async def test_what_a_proxy_of_another_replica_refuses_stands_on_the_rule(
    stage: Stage, record_testsuite_property: Any
) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        async with pair(stage) as (_, other), standalone_envoy(other.xds) as envoy:
            await envoy.wait_ready()
            await apply(stage.admin, redis_service("refused", "1s"))
            await stage.until_condition("RedisService", "refused", "HostNotFound", "Effective")
            applied = monotonic()
            await apply(stage.admin, redis_entry("refused", taken.getsockname()[1]))
            found = await stage.until_condition("RedisService", "refused", "ProxyRejected")
            took = monotonic() - applied
            record_testsuite_property("seconds until a refusal elsewhere was told", took)
            assert "Address already in use" in found["message"]
            taken.close()
            await apply(stage.admin, redis_service("refused", "2s"))
            await stage.until_condition("RedisService", "refused", "Programmed")


async def test_a_proxy_that_moves_to_another_replica_receives_nothing_again(stage: Stage) -> None:
    names = ["shop", "cart", *(f"other-{number}" for number in range(10))]
    for name in names:
        await stage.put(name)
    async with pair(stage) as (leader, other):
        relay = Relay(leader.xds)
        async with relay.running(), standalone_envoy(relay.address) as envoy:
            await envoy.wait_ready()
            for name in names:
                await stage.until_condition("MetaRouter", name, "Programmed")
            assert await sent(leader) > 5 * NOTHING_BYTES  # the control
            here, before = await held(leader), await taken_in(envoy)
            moved = time()
            relay.turn(other.xds)
            await until(lambda: connected(other), lambda: "the proxy did not come")
            assert await held(other) == here
            # What is sent because of this comes after whatever else there was to send.
            await apply(stage.admin, router("default", "cart", "v2"))
            await stage.until_condition("MetaRouter", "cart", "Programmed")
            assert await proxies(stage, "cart", 1)
            assert await taken_in(envoy) == before
            assert await sent(other) < NOTHING_BYTES
            told = [each for each in stage.writes("metarouters/status") if each.at > moved]
            assert not [each for each in told if "NoProxies" in each.status]


def conflicts(stage: Stage) -> int:
    """Writes of one replica that another one had overtaken."""
    return sum(each.code == 409 for each in stage.writes("metarouters/status"))


def overlaps(stage: Stage, until_at: float) -> list[str]:
    """Who wrote statuses after somebody else had begun to: a leader that does not know its end."""
    writers: list[str] = []
    for each in stage.writes("metarouters/status"):
        if each.at < until_at and (not writers or writers[-1] != each.user):
            writers.append(each.user)
    return writers


async def test_when_the_leader_is_killed_another_takes_over_and_nothing_is_lost(
    stage: Stage, record_testsuite_property: Any
) -> None:
    for name in ("shop", "cart"):
        await stage.put(name)
    async with pair(stage) as (leader, other), standalone_envoy(other.xds) as envoy:
        await envoy.wait_ready()
        await until(lambda: proxies(stage, "shop", 1), lambda: "the proxy is not counted")
        await stage.until_condition("MetaRouter", "shop", "Programmed")
        changed = asyncio.create_task(apply(stage.admin, router("default", "shop", "v2")))
        await leader.kill()
        killed = monotonic()
        await changed
        before = len(stage.writes("metarouters/status", "two"))
        await stage.until_leads(other)
        took = monotonic() - killed
        record_testsuite_property("seconds until another replica led", took)
        assert took < TAKEOVER_S
        found = await stage.until_condition("MetaRouter", "shop", "Programmed")
        assert found["observedGeneration"] == 2
        assert await proxies(stage, "shop", 1)
        assert await proxies(stage, "cart", 1)
        await leader.start()
        await until(lambda: reported(other, 1), lambda: "the one that came back does not report")
        await apply(stage.admin, router("default", "cart", "v2"))
        await stage.until_condition("MetaRouter", "cart", "Programmed")
        assert overlaps(stage, time()) == ["one", "two"]
        assert conflicts(stage) == 0
        assert stage.repeated("metarouters/status") == []
        # Only what differs: of the two rules, the one that nobody had changed is as it was.
        assert len(stage.writes("metarouters/status", "two")) - before <= 4


async def test_a_leader_that_ends_in_order_is_succeeded_at_once(
    stage: Stage, record_testsuite_property: Any
) -> None:
    await stage.put("shop")
    async with pair(stage) as (leader, other):
        assert await leader.terminate() == 0
        ended = monotonic()
        await stage.until_leads(other)
        took = monotonic() - ended
        record_testsuite_property("seconds until another replica led after an orderly end", took)
        assert took < DURATION_S / 2
        assert stage.writes("leases", "one")[-1].code == 200


async def more(replica: MeltemiProcess, before: float) -> bool:
    return await total(replica, PUSHES) > before


async def test_a_leader_that_hangs_stalls_nobody_and_does_not_write_when_it_wakes(
    stage: Stage,
) -> None:
    for name in ("shop", "cart"):
        await stage.put(name)
    async with pair(stage) as (leader, other), standalone_envoy(other.xds) as envoy:
        await envoy.wait_ready()
        await until(lambda: proxies(stage, "shop", 1), lambda: "the proxy is not counted")
        os.kill(leader.process.pid, signal.SIGSTOP)
        try:
            before = await total(other, PUSHES)
            await apply(stage.admin, router("default", "shop", "v2"))
            await until(lambda: more(other, before), lambda: "a replica that does not lead stalls")
            assert await metric(other, "meltemi_leader") == 0
            await stage.until_leads(other)
            await stage.until_condition("MetaRouter", "shop", "Programmed")
        finally:
            os.kill(leader.process.pid, signal.SIGCONT)
        woken = time()
        await until(lambda: reported(other, 1), lambda: "the one that woke does not report")
        for version in ("v2", "v1"):
            await apply(stage.admin, router("default", "cart", version))
            await stage.until_condition("MetaRouter", "cart", "Programmed")
        late = [each for each in stage.writes("metarouters/status", "one") if each.at > woken]
        assert late == []
        assert stage.repeated("metarouters/status") == []
        assert await metric(leader, "meltemi_leader") == 0


async def test_a_replica_that_may_not_touch_the_lease_serves_and_says_so_once(
    stage: Stage,
) -> None:
    await stage.put("shop")
    of_cluster = (*reading(namespaced=False), *reading(namespaced=False, whole=True))
    await stage.grant(*reading(namespaced=True), *of_cluster)
    async with stage.replica(READER) as meltemi, standalone_envoy(meltemi.xds) as envoy:
        await envoy.wait_ready()
        assert await envoy.listeners()
        # Two looks and more.
        await until(lambda: said(meltemi, "leases", 1), lambda: "it did not say what it may not")
        await asyncio.sleep(5.0)
        assert not await said(meltemi, "leases", 2)
        assert await metric(meltemi, "meltemi_leader") == 0
    assert {each.code for each in stage.writes("leases", READER)} <= {403}
    assert stage.writes("metarouters/status", READER) == []
    assert "status" not in await stage.get("MetaRouter", "shop")


async def said(meltemi: MeltemiProcess, text: str, times: int) -> bool:
    """Whether its log says something about that, so often at least."""
    lines = meltemi.process.log_tail(1000).splitlines()
    return sum("leader.failing" in line and text in line for line in lines) >= times


async def test_while_the_api_server_is_away_nobody_leads_and_then_all_is_caught_up(
    stage: Stage,
) -> None:
    await stage.put("shop")
    async with stage.replica("one") as meltemi, standalone_envoy(meltemi.xds) as envoy:
        await envoy.wait_ready()
        await stage.until_condition("MetaRouter", "shop", "Programmed")
        await stage.server.kill()
        await until(lambda: follows(meltemi), lambda: "it leads without a Lease")
        assert await meltemi.ready()
        assert await envoy.listeners()
        await stage.server.start()
        await apply(stage.admin, router("default", "shop", "v2"))
        await stage.until_condition("MetaRouter", "shop", "Programmed")
        await stage.until_leads(meltemi)


async def follows(replica: MeltemiProcess) -> bool:
    return await metric(replica, "meltemi_leader") == 0
