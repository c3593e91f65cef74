"""An old and a new Envoy behind one Meltemi: each gets what it can do, which is told."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ResponseError

from meltemi.controller.bootstrap import Wish, bootstrap
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.envoy import Envoy
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import Address
from meltemi.testing.redis_connection import RedisConnection
from meltemi.testing.valkey import Valkey
from tests.envoy.rig import entry, route, rule, save, subsets
from tests.envoy.serving import BIND

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy

DUBBO, REDIS = 20880, 6379
OLD, NEW = ENVOY_VERSIONS
BINDS = {OLD: BIND, NEW: f"{BIND.removesuffix('1')}2"}
"""Each listens on an address of its own."""
COST = {"MEL0407", "MEL0505"}


def envoy(xds: Address, version: str) -> Envoy:
    wish = Wish(xds.host, xds.port, f"envoy-{version}", {"bind": BINDS[version]})
    document = bootstrap(wish).document
    return Envoy(document, version=version, extra_args=["--reject-unknown-dynamic-fields"])


async def dubbo_works(version: str) -> bool:
    async with await DubboClient.open(Address(BINDS[version], DUBBO)) as client:
        calls = [await client.call("demo.Greeter", "hello") for _ in range(10)]
    return {str(call.result()) for call in calls} == {"v2"}


async def knows_hello(version: str) -> bool:
    """Whether clients can be greeted in RESP3."""
    try:
        async with await RedisConnection.open(Address(BINDS[version], REDIS), protocol=3) as client:
            return await client.ask("SET", "a", "1") == "OK"
    except ResponseError:
        return False


async def test_each_is_served_as_far_as_it_goes_and_what_the_old_one_costs_is_told(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as closing:
        v1 = await closing.enter_async_context(DubboServer("v1"))
        v2 = await closing.enter_async_context(DubboServer("v2"))
        valkey = await closing.enter_async_context(Valkey())
        sessions = entry("redis", REDIS, {"v1": valkey.address}, "sessions.example")
        sessions["metadata"]["annotations"] = {"meltemi.io/resp": "3"}
        orders = entry("dubbo", DUBBO, {"v1": v1.address, "v2": v2.address})
        save(tmp_path / "all.yaml", sessions, orders, subsets("v1", "v2"), rule(route(v2=100)))
        meltemi = await closing.enter_async_context(MeltemiProcess(tmp_path))

        async def codes() -> set[str]:
            found = json.loads((await meltemi.get("/findings")).body)
            return {finding["code"] for finding in found}

        for version, told in ((NEW, set[str]()), (OLD, COST)):
            proxy = await closing.enter_async_context(envoy(meltemi.xds, version))
            await proxy.wait_ready()
            assert await codes() == told
        assert [await dubbo_works(version) for version in ENVOY_VERSIONS] == [True, True]
        assert [await knows_hello(version) for version in ENVOY_VERSIONS] == [False, True]
