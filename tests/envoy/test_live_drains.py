"""Listeners that change while commands run: what their old connections use stays until they have
drained, also when Meltemi is killed meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.naming import ClusterName
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.envoy_binary import ENVOY_VERSION, ENVOY_VERSIONS
from meltemi.testing.load import Load
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER
from tests.abilities import Seen, saw
from tests.calls import ON_NEW, ON_OLD
from tests.churn.traffic import anew
from tests.envoy.naive import naive
from tests.envoy.redis_rig import COPY, HOST, NEXT, counting, rules, staged
from tests.envoy.rig import PATIENCE_S, entry, save, trouble, until_stat

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from meltemi.testing.report import Call
    from tests.envoy.redis_rig import RedisStage
    from tests.envoy.rig import Document

pytestmark = pytest.mark.envoy

UPDATED = "listener_manager.listener_in_place_updated"
CONNECTED = "control_plane.connected_state"


def carts_to(stage: RedisStage, host: str) -> tuple[Document, Document]:
    """The keys of carts there, all others to the host itself."""
    return {"match": {"key": {"prefix": "cart:"}}} | stage.to(host), stage.to(HOST)


def leave(stage: RedisStage) -> None:
    """The prefix leaves a server and the server leaves the rules, in one save."""
    stage.save(*carts_to(stage, COPY))


async def until_gone(stage: RedisStage) -> None:
    """Wait until the Envoy no longer has the cluster of the server that left."""
    left = ClusterName(NEXT, stage.ports[NEXT])
    await until_stat(stage.envoy, f"cluster.{left}.membership_total", lambda now: now == 0)


@asynccontextmanager
async def on_next(
    folder: Path,
    *,
    drain_s: int,
    sotw: bool = False,
    version: str = ENVOY_VERSION,
    serve: Callable[[Path], MeltemiProcess] = MeltemiProcess,
) -> AsyncGenerator[RedisStage]:
    """A stage whose carts are on a server that only these rules know."""
    async with staged(folder, drain_s=drain_s, sotw=sotw, version=version, serve=serve) as stage:
        known = entry("redis", stage.ports[NEXT], {"v1": stage.servers[NEXT].address}, NEXT)
        save(stage.rules / "rules.yaml", rules(*carts_to(stage, NEXT)), known)
        await until_stat(stage.envoy, UPDATED, lambda now: now == 1)
        yield stage


@pytest.mark.parametrize(
    ("version", "sotw"),
    [
        pytest.param(ENVOY_VERSION, False, id="delta"),
        pytest.param(ENVOY_VERSION, True, id="sotw"),
        pytest.param(ENVOY_VERSIONS[0], False, id="delta-old"),
    ],
)
async def test_a_server_leaves_with_its_cluster_when_the_old_connections_have_drained(
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    version: str,
    *,
    sotw: bool,
) -> None:
    async with on_next(tmp_path, drain_s=2, sotw=sotw, version=version) as stage:
        connect = counting(stage.address)
        async with Load(connect) as load, Load(anew(connect), rate=100) as new:
            await load.more(100)
            leave(stage)
            await until_gone(stage)
            copied = await stage.count(COPY)
            await load.more(100)
            assert await stage.count(COPY) >= copied + 90
            old, fresh = load.report(), new.report()
        assert (trouble(old), trouble(fresh)) == ({}, {})
        record_property(ON_OLD, len(old.calls))
        record_property(ON_NEW, len(fresh.calls))
        await saw(stage.envoy, "redis", Seen.MOVED_PREFIX)


async def test_without_linger_the_same_change_fails_calls(tmp_path: Path) -> None:
    serve = naive("without-linger")
    async with (
        on_next(tmp_path, drain_s=2, serve=serve) as stage,
        Load(counting(stage.address)) as load,
    ):
        await load.more(100)
        leave(stage)
        await until_gone(stage)
        await load.more(100)
        assert load.report().failed > 0


async def killed_while_it_lingers(stage: RedisStage) -> None:
    """Meltemi comes again and knows nothing of the cluster that connections still use."""
    leave(stage)
    await until_stat(stage.envoy, UPDATED, lambda now: now == 2)
    await stage.meltemi.kill()
    await until_stat(stage.envoy, CONNECTED, lambda now: now == 0)
    await stage.meltemi.start()

    async def asked() -> bool:
        proxies = json.loads((await stage.meltemi.get("/proxies")).body)
        return {CLUSTER, ENDPOINT, LISTENER} <= {
            each for proxy in proxies for each in proxy["types"]
        }

    await stage.meltemi.process.wait_until(asked, "be asked for everything", PATIENCE_S)


async def test_what_drains_outlives_a_kill_of_meltemi(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Envoy closes so few connections a second that most are left."""
    async with on_next(tmp_path, drain_s=600) as stage:
        connect = counting(stage.address)
        async with Load(connect, rate=40) as load, Load(anew(connect), rate=40) as new:
            await load.more(20)
            await killed_while_it_lingers(stage)
            before = await stage.count(NEXT)
            await load.more(100)
            assert await stage.count(NEXT) > before
            old, fresh = load.report(), new.report()
        assert (trouble(old), trouble(fresh)) == ({}, {})
        record_property(ON_OLD, len(old.calls))
        record_property(ON_NEW, len(fresh.calls))


@pytest.mark.parametrize(
    ("sotw", "serve"),
    [
        pytest.param(False, naive("without-linger-after-reconnect"), id="delta-naive"),
        # In this dialect a proxy cannot say what it holds.
        pytest.param(True, MeltemiProcess, id="sotw"),
    ],
)
async def test_what_drains_fails_when_its_cluster_goes_with_the_reconnect(
    tmp_path: Path, serve: Callable[[Path], MeltemiProcess], *, sotw: bool
) -> None:
    def failed(call: Call) -> bool:
        return call.error is not None

    async with (
        on_next(tmp_path, drain_s=600, sotw=sotw, serve=serve) as stage,
        Load(counting(stage.address), rate=40) as load,
    ):
        await load.more(20)
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
            group.create_task(load.first(failed))
            await killed_while_it_lingers(stage)
