"""Rules for Redis that change while commands run on open connections to real servers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.envoy_binary import ENVOY_VERSION, ENVOY_VERSIONS
from meltemi.testing.load import Load
from meltemi.testing.redis_connection import RedisConnection, RedisRefusedError, redis_caller
from tests.abilities import Seen, saw
from tests.envoy.redis_rig import COPY, HOST, KEY, NEXT, counting, staged
from tests.envoy.rig import PATIENCE_S, trouble, until_stat

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize(
    ("version", "sotw"),
    [(ENVOY_VERSION, False), (ENVOY_VERSIONS[0], False), (ENVOY_VERSIONS[0], True)],
    ids=["new-delta", "old-delta", "old-sotw"],
)
async def test_the_percentage_of_a_mirror_changes_on_open_connections(
    tmp_path: Path, version: str, *, sotw: bool
) -> None:
    async with (
        staged(tmp_path, sotw=sotw, version=version) as stage,
        Load(redis_caller(stage.address, "INCR", KEY)) as load,
    ):
        assert await stage.copied(load, 200) == 0
        stage.save(stage.mirrored(100))
        await stage.until_count(COPY, 1)
        await stage.until_copied(load, 1)
        stage.save(stage.mirrored(50))
        await stage.until_copied(load, 0.5)
        report, changes = load.report(), await stage.listener_changes()
        assert trouble(report) == {}
        assert changes == dict.fromkeys(changes, 0)
        async with await RedisConnection.open(stage.address) as client:
            with pytest.raises(RedisRefusedError):
                await client.ask("MULTI")
        await saw(stage.envoy, "redis", Seen.MIRRORED)


async def test_other_routes_are_another_listener_and_close_connections(tmp_path: Path) -> None:
    """The control of the two around it: both would notice a listener that is replaced."""
    async with staged(tmp_path, drain_s=1) as stage:
        async with Load(redis_caller(stage.address, "INCR", KEY)) as load:
            stage.save(stage.to(HOST))
            async with asyncio.timeout(PATIENCE_S):
                await load.first(lambda call: call.error is not None)
        changes = await stage.listener_changes()
    assert changes["listener_in_place_updated"] == 1


async def test_a_prefix_moves_to_a_new_server_while_old_connections_drain(tmp_path: Path) -> None:
    """Its cluster comes with it. Envoy closes every connection once, after an answer."""
    async with (
        staged(tmp_path, drain_s=2) as stage,
        Load(counting(stage.address)) as load,
    ):
        await load.more(100)
        stage.save_entry(NEXT)
        moved = {"match": {"key": {"prefix": "cart:"}}} | stage.to(NEXT)
        stage.save(moved, stage.mirrored(0))
        prefix = f"redis.outbound|{stage.ports[HOST]}||{HOST}."
        closed = f"{prefix}downstream_cx_drain_close"
        await until_stat(stage.envoy, closed, lambda now: now == 8)
        old, new = await stage.count(HOST), await stage.count(NEXT)
        await load.more(100)
        assert await stage.count(HOST) == old
        assert await stage.count(NEXT) >= new + 90
        stats, changes = await stage.envoy.stats(prefix), await stage.listener_changes()
        report = load.report()
        assert trouble(report) == {}
        assert stats[f"{prefix}downstream_cx_total"] == 16
        assert changes["listener_in_place_updated"] == 1
        await saw(stage.envoy, "redis", Seen.MOVED_PREFIX)


async def test_transactions_are_refused_while_a_rule_mirrors(tmp_path: Path) -> None:
    async with (
        staged(tmp_path, drain_s=1) as stage,
        await RedisConnection.open(stage.address) as client,
    ):
        with pytest.raises(RedisRefusedError):
            await client.ask("MULTI")
        assert await client.ask("SET", KEY, "1") == "OK"
        stage.save(stage.to(HOST))
        updated = "listener_manager.listener_in_place_updated"
        await until_stat(stage.envoy, updated, lambda now: now == 1)
        async with await RedisConnection.open(stage.address) as later:
            assert await later.ask("MULTI") == "OK"
