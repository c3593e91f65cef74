"""Connections that nobody looks into are shared by weights, in real Envoys."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.compiler import Compiler
from meltemi.protocols.model import Endpoint, Rule
from meltemi.protocols.naming import SplitName
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.envoy_binary import ENVOY_VERSION, ENVOY_VERSIONS
from meltemi.testing.ports import Address
from tests import make
from tests.abilities import Seen, saw
from tests.envoy.rig import until_stat
from tests.envoy.serving import BIND, Served, served

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meltemi.protocols.group import Group

pytestmark = pytest.mark.envoy

GROUP = make.group(bind=BIND)
FAILED = "failed"
SPLIT = f"cluster.{SplitName(make.host(), make.PORT, 'default', 'shop', 'canary')}"
HEALTHY, UPDATED = f"{SPLIT}.membership_healthy", f"{SPLIT}.update_success"


def weighted(v1: int, v2: int) -> Rule:
    return make.rule(replace(make.route(0, make.to("v1", v1), make.to("v2", v2)), name="canary"))


@dataclass(frozen=True, slots=True)
class Stage:
    """A port for plain connections to two versions, whose servers tell their names."""

    draft: make.Draft
    compiler: Compiler
    group: Group
    servers: dict[str, DubboServer]
    on: Served

    def save(self, rule: Rule) -> None:
        """Change the weights."""
        make.run(self.compiler.update(self.draft.put(rule)))
        self.on.group.publish(self.group.snapshot, self.group.take_changed())


async def connect() -> DubboClient:
    return await DubboClient.open(Address(BIND, make.PORT))


async def whose(client: DubboClient) -> str:
    """Which server a connection leads to."""
    try:
        return str((await client.call("demo.Greeter", "hello")).value)
    except ConnectionError:
        return FAILED


async def shares(connections: int = 100) -> Counter[str]:
    """Where so many new connections lead to."""
    found: Counter[str] = Counter()
    for _ in range(connections):
        async with await connect() as client:
            found[await whose(client)] += 1
    return found


@asynccontextmanager
async def staged(version: str, *, check_interval: float = 1.0) -> AsyncGenerator[Stage]:
    """80 of 100 connections to v1."""
    draft, service = make.Draft(), make.service(protocol="tcp")
    async with AsyncExitStack() as closing:
        servers = {v: await closing.enter_async_context(DubboServer(v)) for v in make.VERSIONS}
        for thing in (service, make.policy(), weighted(80, 20)):
            draft.put(thing)
        draft.place(
            service,
            *(
                Endpoint(at.address.host, {make.PORT: at.address.port}, {"version": name})
                for name, at in servers.items()
            ),
        )
        compiler = Compiler(make.registry(), draft.mesh, check_interval=check_interval)
        make.run(compiler.open(GROUP))
        group = compiler.group(GROUP)
        on = await closing.enter_async_context(served(group.snapshot, version=version))
        await on.envoy.wait_ready()
        stage = Stage(draft, compiler, group, servers, on)
        await until_stat(on.envoy, HEALTHY, lambda now: now == 2)
        yield stage


@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_new_connections_follow_the_weights_and_open_ones_stay(version: str) -> None:
    async with staged(version) as stage, await connect() as old:
        first = await whose(old)
        assert (await shares())["v2"] == pytest.approx(20, abs=1)
        before = (await stage.on.envoy.stats(UPDATED))[UPDATED]
        stage.save(weighted(10, 90))
        await until_stat(stage.on.envoy, UPDATED, lambda now: now > before)
        assert (await shares())["v2"] == pytest.approx(90, abs=1)
        assert await whose(old) == first
        await saw(stage.on.envoy, "tcp", Seen.SHARES)


async def test_a_dead_destinations_connections_go_to_the_living() -> None:
    async with staged(ENVOY_VERSION) as stage:
        await stage.servers["v2"].stop()
        await until_stat(stage.on.envoy, HEALTHY, lambda now: now == 1)
        assert await shares(50) == {"v1": 50}
        await saw(stage.on.envoy, "tcp", Seen.HANDED_OVER)


async def test_without_a_check_a_dead_destinations_connections_fail() -> None:
    async with staged(ENVOY_VERSION, check_interval=600) as stage:
        await stage.servers["v2"].stop()
        assert (await shares(50))[FAILED] == pytest.approx(10, abs=1)
