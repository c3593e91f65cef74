"""Rules for Redis that change while commands run on open connections to real servers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.envoy_binary import ENVOY_VERSION, ENVOY_VERSIONS
from meltemi.testing.load import Load
from meltemi.testing.ports import LOOPBACK, Address, free_ports
from meltemi.testing.redis_connection import RedisConnection, RedisRefusedError, redis_caller
from meltemi.testing.standalone import standalone_envoy
from meltemi.testing.valkey import Valkey
from tests.abilities import Seen, saw
from tests.envoy.rig import PATIENCE_S, entry, save, trouble, until_stat

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from meltemi.testing.envoy import Envoy
    from meltemi.testing.load import Ask, Connect
    from tests.envoy.rig import Document

pytestmark = pytest.mark.envoy

HOST, COPY, NEXT = "cart.example", "copy.example", "next.example"
HOSTS: tuple[str, ...] = (HOST, COPY, NEXT)
KEY = "cart:visits"


def rules(*routes: Document) -> Document:
    return {
        "apiVersion": "redis.aeraki.io/v1alpha1",
        "kind": "RedisService",
        "metadata": {"name": "cart"},
        "spec": {"host": [HOST], "redis": list(routes)},
    }


@dataclass(slots=True)
class RedisStage:
    """One Redis host behind an Envoy that Meltemi rules, and others that its rules may name."""

    rules: Path
    ports: dict[str, int]
    servers: dict[str, Valkey]
    envoy: Envoy = field(init=False)

    @property
    def address(self) -> Address:
        return Address(LOOPBACK, self.ports[HOST])

    def to(self, host: str) -> Document:
        """What a route or a mirror names."""
        return {"route": {"host": host, "port": self.ports[host]}}

    def mirrored(self, percentage: float) -> Document:
        """Everything to the host itself, and this part of the writes to the copy."""
        mirror = {"percentage": {"value": percentage}, "excludeReadCommands": True}
        return self.to(HOST) | {"mirror": [self.to(COPY) | mirror]}

    def save(self, *routes: Document) -> None:
        save(self.rules / "rules.yaml", rules(*routes))

    def save_entry(self, host: str) -> None:
        endpoints = {"v1": self.servers[host].address}
        save(self.rules / f"{host}.yaml", entry("redis", self.ports[host], endpoints, host))

    async def count(self, host: str) -> int:
        """How often the key was incremented on that server."""
        return int(str(await self.servers[host].ask("GET", KEY) or 0))

    async def until_count(self, host: str, least: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while await self.count(host) < least:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.01)

    async def copied(self, load: Load, calls: int) -> float:
        """The share of so many calls from now on that reached the copy as well."""
        before = await self.count(HOST), await self.count(COPY)
        await load.more(calls)
        after = await self.count(HOST), await self.count(COPY)
        return (after[1] - before[1]) / (after[0] - before[0])

    async def until_copied(self, load: Load, wanted: float) -> None:
        """Wait until about this share is mirrored."""
        async with asyncio.timeout(PATIENCE_S):
            while abs(await self.copied(load, 100) - wanted) > 0.2:
                pass

    async def listener_changes(self) -> dict[str, int]:
        stats = await self.envoy.stats("listener_manager.listener_")
        names = ("listener_modified", "listener_in_place_updated", "listener_removed")
        return {name: stats.get(f"listener_manager.{name}", 0) for name in names}


@asynccontextmanager
async def staged(
    folder: Path, *, drain_s: int = 600, sotw: bool = False, version: str = ENVOY_VERSION
) -> AsyncGenerator[RedisStage]:
    """Everything is mirrored, at 0 %."""
    async with AsyncExitStack() as opening:
        servers = {host: await opening.enter_async_context(Valkey()) for host in HOSTS}
        ports = dict(zip(HOSTS, free_ports(len(HOSTS)), strict=True))
        stage = RedisStage(folder, ports, servers)
        stage.save_entry(HOST)
        stage.save_entry(COPY)
        stage.save(stage.mirrored(0))
        meltemi = await opening.enter_async_context(MeltemiProcess(folder))
        stage.envoy = standalone_envoy(meltemi.xds, drain_s=drain_s, sotw=sotw, version=version)
        await opening.enter_async_context(stage.envoy)
        await stage.envoy.wait_ready()
        yield stage


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


def counting(address: Address) -> Connect:
    """The real client with a pool of one connection. It looks whether that is still open before
    each command, and tries once more when it is closed just then, as applications have it.
    """

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Ask]:
        client = Redis(
            host=address.host,
            port=address.port,
            protocol=2,
            max_connections=1,
            retry=Retry(NoBackoff(), 1),
        )

        async def ask() -> str:
            try:
                return str(await client.incr(KEY))
            except RedisConnectionError as error:
                raise ConnectionError(str(error)) from error

        async with client:
            yield ask

    return connect


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
