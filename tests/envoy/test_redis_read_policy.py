"""Who answers the reads of a Redis Cluster, in real Envoys."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.model import Endpoint, RedisSettings, RedisUpstream, Ref
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import Address
from meltemi.testing.redis_connection import RedisConnection, RedisRefusedError
from meltemi.testing.valkey import Valkey
from tests import make
from tests.abilities import Seen, saw
from tests.envoy.rig import PATIENCE_S
from tests.envoy.serving import BIND, Served, served

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.envoy

CACHE = make.service(protocol="redis")
SHARDED = RedisUpstream(Ref("RedisDestination", "default", "shop"), make.host(), cluster=True)
SETTINGS = Ref("RedisService", "default", "shop")
READS = 40


@asynccontextmanager
async def a_master_and_its_replica() -> AsyncGenerator[tuple[Valkey, Valkey]]:
    """A Redis Cluster of one shard, ready."""
    async with Valkey(cluster=True) as master, Valkey(cluster=True) as replica:
        await master.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await replica.ask("CLUSTER", "MEET", master.address.host, master.address.port, master.bus)
        of = str(await master.ask("CLUSTER", "MYID"))

        async def follows() -> bool:
            try:
                await replica.ask("CLUSTER", "REPLICATE", of)
            except RedisRefusedError:  # it has not heard of the master yet
                return False
            return "master_link_status:up" in str(await replica.ask("INFO", "replication"))

        async def is_known() -> bool:
            known = str(await master.ask("CLUSTER", "SLOTS"))
            return str(replica.address.port) in known and "cluster_state:ok" in str(
                await replica.ask("CLUSTER", "INFO")
            )

        await replica.process.wait_until(follows, "follow the master", PATIENCE_S)
        await master.process.wait_until(is_known, "know the replica", PATIENCE_S)
        yield master, replica


async def reads(*nodes: Valkey) -> list[int]:
    """How many GETs each node has answered so far."""
    told = [str(await node.ask("INFO", "commandstats")) for node in nodes]
    found = [re.search(r"cmdstat_get:calls=(\d+)", each) for each in told]
    return [int(each[1]) if each else 0 for each in found]


@asynccontextmanager
async def proxied(master: Valkey, policy: str, version: str) -> AsyncGenerator[Served]:
    """An Envoy that reads as the policy says."""
    settings = RedisSettings(SETTINGS, (make.host(),), read_policy=policy)
    at = Endpoint(master.address.host, {make.PORT: master.address.port})
    mesh = make.mesh(CACHE, SHARDED, settings, endpoints=[at])
    snapshot = make.snapshot(mesh, make.group(bind=BIND))
    async with served(snapshot, version=version) as on:
        await on.envoy.wait_ready()
        yield on


async def read(on: Served) -> None:
    """Read, as soon as the proxy knows the nodes."""
    async with await RedisConnection.open(Address(BIND, make.PORT)) as client:

        async def writes() -> bool:
            try:
                return await client.ask("SET", "a", "1") == "OK"
            except RedisRefusedError:
                return False

        await on.envoy.process.wait_until(writes, "know the nodes of the cluster", PATIENCE_S)
        for _ in range(READS):
            await client.ask("GET", "a")


@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_reads_go_where_the_read_policy_says(version: str) -> None:
    async with asyncio.timeout(PATIENCE_S), a_master_and_its_replica() as (master, replica):
        async with proxied(master, "MASTER", version) as on:
            await read(on)
        assert await reads(master, replica) == [READS, 0]
        async with proxied(master, "REPLICA", version) as on:
            await read(on)
            assert await reads(master, replica) == [READS, READS]
            await saw(on.envoy, "redis", Seen.REPLICAS_READ)
