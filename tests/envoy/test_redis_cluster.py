"""A real Redis Cluster behind a real Envoy, and faults that come and go."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.model import Endpoint, RedisFault, RedisSettings, RedisUpstream, Ref
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import Address
from meltemi.testing.redis_connection import RedisConnection, RedisRefusedError
from meltemi.testing.valkey import Valkey
from meltemi.xds.resource import RUNTIME
from tests import make
from tests.abilities import Seen, saw
from tests.envoy.serving import BIND, served

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.envoy

CACHE = make.service(protocol="redis")
SHARDED = RedisUpstream(Ref("RedisDestination", "default", "shop"), make.host(), cluster=True)
GROUP = make.group(bind=BIND)
PATIENCE_S = 30.0
KEYS = 40


@asynccontextmanager
async def two_nodes() -> AsyncGenerator[tuple[Valkey, Valkey]]:
    """A Redis Cluster that is ready; each node has half of the keys."""
    async with (
        asyncio.timeout(PATIENCE_S),
        Valkey(cluster=True) as first,
        Valkey(cluster=True) as second,
    ):
        await first.ask("CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        await second.ask("CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        await first.ask("CLUSTER", "MEET", second.address.host, second.address.port, second.bus)
        for node in (first, second):

            async def agrees(node: Valkey = node) -> bool:
                return "cluster_state:ok" in str(await node.ask("CLUSTER", "INFO"))

            await node.process.wait_until(agrees, "know all slots", PATIENCE_S)
        yield first, second


def endpoint(of: Valkey) -> Endpoint:
    return Endpoint(of.address.host, {make.PORT: of.address.port})


async def write(client: RedisConnection, number: int) -> bool:
    """Whether it was taken: nobody waits for a proxy to know the nodes."""
    try:
        return await client.ask("SET", f"key-{number}", number) == "OK"
    except RedisRefusedError:
        return False


@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_one_node_tells_the_proxy_of_all(version: str) -> None:
    async with AsyncExitStack() as closing:
        first, second = await closing.enter_async_context(two_nodes())
        mesh = make.mesh(CACHE, SHARDED, endpoints=[endpoint(first)])
        snapshot = make.snapshot(mesh, GROUP)
        on = await closing.enter_async_context(served(snapshot, version=version))
        await on.envoy.wait_ready()
        opening = RedisConnection.open(Address(BIND, make.PORT))
        client = await closing.enter_async_context(await opening)
        await on.envoy.process.wait_until(
            lambda: write(client, 0), "know the nodes of the cluster", PATIENCE_S
        )
        assert [await write(client, number) for number in range(KEYS)] == [True] * KEYS
        kept = [int(str(await node.ask("DBSIZE"))) for node in (first, second)]
        assert sum(kept) == KEYS
        assert min(kept) > 0
        await saw(on.envoy, "redis", Seen.SHARDED)


async def test_single_servers_would_lose_keys_to_each_other() -> None:
    """What mode CLUSTER is for: the same node, taken as a server of its own."""
    async with AsyncExitStack() as closing:
        first, _ = await closing.enter_async_context(two_nodes())
        mesh = make.mesh(CACHE, endpoints=[endpoint(first)])
        on = await closing.enter_async_context(served(make.snapshot(mesh, GROUP)))
        await on.envoy.wait_ready()
        opening = RedisConnection.open(Address(BIND, make.PORT))
        client = await closing.enter_async_context(await opening)
        assert {await write(client, number) for number in range(KEYS)} == {True, False}


@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_a_fault_comes_and_goes_on_an_open_connection(version: str) -> None:
    """Its percentage is in the runtime layer: nothing else changes, so nothing is drained."""
    fault = RedisFault("ERROR", 0.0, commands=("GET",))
    settings = RedisSettings(
        Ref("RedisService", "default", "shop"), (make.host(),), faults=(fault,)
    )
    async with AsyncExitStack() as closing:
        server = await closing.enter_async_context(Valkey())
        draft = make.Draft()
        draft.put(CACHE)
        draft.put(settings)
        draft.place(CACHE, endpoint(server))
        compiler = make.compiler(draft.mesh, GROUP)
        compiled = compiler.group(GROUP)
        on = await closing.enter_async_context(served(compiled.snapshot, version=version))
        await on.envoy.wait_ready()
        opening = RedisConnection.open(Address(BIND, make.PORT))
        client = await closing.enter_async_context(await opening)

        async def fails() -> bool:
            try:
                await client.ask("GET", "x")
            except RedisRefusedError:
                return True
            return False

        async def works() -> bool:
            return not await fails()

        assert await works()
        for percentage, reached in ((100.0, fails), (0.0, works)):
            changed = replace(settings, faults=(replace(fault, percentage=percentage),))
            make.run(compiler.update(draft.put(changed)))
            keys = compiled.take_changed()
            assert {key.type_url for key in keys} == {RUNTIME}
            on.group.publish(compiled.snapshot, keys)
            await on.envoy.process.wait_until(reached, "take the new percentage", PATIENCE_S)
        await saw(on.envoy, "redis", Seen.FAULTED)
