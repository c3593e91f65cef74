"""Clusters that are renamed, replaced and removed under the routes that use them, while calls run
on connections that stay and on new ones.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.envoy_binary import ENVOY_VERSION, ENVOY_VERSIONS
from meltemi.testing.load import Load
from meltemi.testing.ports import unanswered_address
from tests.abilities import Seen, saw
from tests.calls import ON_NEW, ON_OLD
from tests.churn.traffic import anew
from tests.envoy.naive import naive
from tests.envoy.rig import PATIENCE_S, SPEECHES, route, rule, save, share, staged, subsets, trouble

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from tests.envoy.rig import Serve, Stage

    Story = Callable[[Stage], Awaitable[None]]

pytestmark = pytest.mark.envoy


async def moved(stage: Stage) -> None:
    """From one destination to another, to both, whose split is a cluster of its own, and back."""
    stage.save_rules(route(v2=100))
    await stage.answered_by("v2")
    stage.save_rules(route(v1=50, v2=50))
    await stage.until_share("v1", 0.5)
    stage.save_rules(route(v1=100))
    await stage.until_share("v1", 1)
    await until_gone(stage, stage.split())


async def renamed(stage: Stage) -> None:
    """The same servers under the names of other subsets, and the route with them, in one save."""
    ruled = rule(route(stable=100))
    save(stage.rules / "rules.yaml", subsets(stable="v1", spare="v2"), ruled)
    used = f"cluster.{stage.cluster('stable')}.upstream_cx_total"
    await stage.until_stat(used, lambda now: now > 0)
    await until_gone(stage, stage.cluster("v1"), stage.cluster("v2"))
    assert share(await stage.calls(), "v1") == 1


async def left_under_way(stage: Stage) -> None:
    """Calls wait for their answers while the cluster that they were sent to goes."""
    slow = stage.servers["v1"]
    slow.delay_s, before = 0.5, slow.calls
    async with asyncio.timeout(PATIENCE_S):
        while slow.calls < before + 8:  # noqa: ASYNC110  # counted in another thread
            await asyncio.sleep(0.01)
    stage.save_rules(route(v2=100), subsets_of=("v2",))
    await stage.answered_by("v2")
    await until_gone(stage, stage.cluster("v1"), stage.cluster("stable"))


async def replaced(stage: Stage) -> None:
    """All subsets at once, by such with other servers, of which one is a black hole."""
    await stage.serve("v3")
    await stage.serve("v4")
    with unanswered_address() as nobody:
        stage.endpoints["v3.dead"] = nobody
        stage.save_endpoints()
        stage.save_rules(route(v3=100), subsets_of=("v3", "v4"))
        await stage.answered_by("v3")
        await until_gone(stage, stage.cluster("v1"), stage.cluster("v2"))
        await stage.servers["v1"].stop()
        await stage.servers["v2"].stop()
        assert share(await stage.calls(), "v3") == 1


STORIES: tuple[Story, ...] = (moved, renamed, left_under_way, replaced)


async def until_gone(stage: Stage, *clusters: str) -> None:
    """Wait until the Envoy has none of these."""
    for cluster in clusters:
        await stage.until_stat(f"cluster.{cluster}.membership_total", lambda now: now == 0)


@asynccontextmanager
async def called(
    folder: Path,
    protocol: str,
    *,
    sotw: bool = False,
    version: str = ENVOY_VERSION,
    serve: Serve = MeltemiProcess,
) -> AsyncGenerator[tuple[Stage, Load]]:
    """A stage whose calls go to v1, and more calls of the same kind on new connections."""
    async with staged(
        folder, protocol, route(v1=100), sotw=sotw, version=version, serve=serve, drain_s=1
    ) as stage:
        connect = SPEECHES[protocol].caller(stage.address, "hello")
        async with Load(anew(connect), connections=4, rate=100) as new:
            yield stage, new


@pytest.mark.parametrize(
    ("protocol", "sotw", "version"),
    [
        pytest.param("dubbo", False, ENVOY_VERSION, id="dubbo-delta"),
        pytest.param("dubbo", True, ENVOY_VERSION, id="dubbo-sotw"),
        pytest.param("thrift", False, ENVOY_VERSION, id="thrift-delta"),
        pytest.param("thrift", True, ENVOY_VERSION, id="thrift-sotw"),
        pytest.param("dubbo", True, ENVOY_VERSIONS[0], id="dubbo-sotw-old"),
        pytest.param("thrift", False, ENVOY_VERSIONS[0], id="thrift-delta-old"),
    ],
)
async def test_no_call_fails_while_clusters_come_and_go_under_routes(
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    protocol: str,
    version: str,
    *,
    sotw: bool,
) -> None:
    async with called(tmp_path, protocol, sotw=sotw, version=version) as (stage, new):
        for story in STORIES:
            await story(stage)
            stays, fresh = stage.load.take(), new.take()
            assert (story, trouble(stays), trouble(fresh)) == (story, {}, {})
            record_property(ON_OLD, len(stays.calls))
            record_property(ON_NEW, len(fresh.calls))
        await saw(stage.envoy, protocol, Seen.CHANGED)


@pytest.mark.parametrize("control", ["without-gating", "without-linger"])
@pytest.mark.parametrize(("protocol", "sotw"), [("dubbo", False), ("thrift", True)])
async def test_without_one_of_its_mechanisms_the_same_replacement_fails_calls(
    tmp_path: Path, control: str, protocol: str, *, sotw: bool
) -> None:
    async with called(tmp_path, protocol, sotw=sotw, serve=naive(control)) as (stage, new):
        await replaced(stage)
        assert stage.load.report().failed > 10
        assert new.report().failed > 0
