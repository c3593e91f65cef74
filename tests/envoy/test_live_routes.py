"""Rules for Dubbo and Thrift that change while calls run on open connections."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.envoy_binary import ENVOY_VERSION, ENVOY_VERSIONS
from meltemi.testing.ports import LOOPBACK, Address, unanswered_address
from tests.abilities import Seen, saw
from tests.envoy.naive import naive
from tests.envoy.rig import PATIENCE_S, SPEECHES, route, share, staged, trouble

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from meltemi.testing.report import Report
    from tests.envoy.rig import Serve, Stage

pytestmark = pytest.mark.envoy

by_protocol = pytest.mark.parametrize("protocol", SPEECHES)


@by_protocol
@pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])
async def test_every_change_of_a_rule_arrives_on_open_connections_without_a_failed_call(
    tmp_path: Path, protocol: str, *, sotw: bool
) -> None:
    async with weighted(tmp_path, protocol, sotw=sotw, version=ENVOY_VERSION) as stage:
        await to_other_weights_and_routes(stage)
        await to_a_new_cluster(stage)
        await without_the_old_clusters(stage)
        assert trouble(stage.load.report()) == {}
        await saw(stage.envoy, protocol, Seen.CHANGED)


@pytest.mark.parametrize(
    ("protocol", "sotw"), [("dubbo", False), ("thrift", True)], ids=["dubbo-delta", "thrift-sotw"]
)
async def test_changes_arrive_at_an_old_envoy_as_well(
    tmp_path: Path, protocol: str, *, sotw: bool
) -> None:
    async with weighted(tmp_path, protocol, sotw=sotw, version=ENVOY_VERSIONS[0]) as stage:
        await to_other_weights_and_routes(stage)
        await to_a_new_cluster(stage)
        assert trouble(stage.load.report()) == {}
        await saw(stage.envoy, protocol, Seen.CHANGED)


def weighted(
    folder: Path, protocol: str, *, sotw: bool, version: str
) -> AbstractAsyncContextManager[Stage]:
    """A fifth of the calls goes to v2."""
    split = route(v1=80, v2=20)
    return staged(folder, protocol, split, sotw=sotw, drain_s=1, version=version)


async def to_other_weights_and_routes(stage: Stage) -> None:
    """What there is gets other shares, then a route of one method."""
    assert share(await stage.calls(), "v2") == pytest.approx(0.2, abs=0.02)
    stage.save_rules(route(v1=10, v2=90))
    await stage.until_share("v2", 0.9)
    stage.save_rules(route("hello", v1=100), route(v1=10, v2=90))
    await stage.until_share("v1", 1)


async def to_a_new_cluster(stage: Stage) -> None:
    """One save brings a subset and the route to it; one of its endpoints never answers."""
    await stage.serve("v3")
    with unanswered_address() as nobody:
        stage.endpoints["v3.dead"] = nobody
        stage.save_endpoints()
        await stage.until_stat(f"cluster.{stage.cluster()}.membership_total", lambda now: now == 4)
        stage.save_rules(route(v3=100), subsets_of=("v1", "v2", "v3"))
        await stage.answered_by("v3")
        assert share(await stage.calls(), "v3") == 1


async def without_the_old_clusters(stage: Stage) -> None:
    """The old subsets and their servers go."""
    stage.save_rules(route(v3=100), subsets_of=("v3",))
    await stage.until_stat("cluster_manager.cluster_removed", lambda now: now >= 2)
    await stage.servers["v1"].stop()
    await stage.servers["v2"].stop()
    assert share(await stage.calls(), "v3") == 1


@by_protocol
async def test_without_make_before_break_the_same_new_cluster_fails_calls(
    tmp_path: Path, protocol: str
) -> None:
    report = await of_a_new_cluster(tmp_path, protocol, naive("without-order"))
    assert report.failed > 10


async def of_a_new_cluster(folder: Path, protocol: str, serve: Serve) -> Report:
    async with staged(folder, protocol, route(v1=100), serve=serve) as stage:
        await to_a_new_cluster(stage)
        return stage.load.report()


async def test_no_call_fails_in_a_storm_of_saves(tmp_path: Path) -> None:
    """Routes, weights, and clusters that come and go faster than a slow one of them is warm."""
    chance = random.Random(1)
    names = ("v1", "v2", "v3", "v4")
    async with staged(tmp_path, "dubbo", route(v1=100), names=names, drain_s=1) as stage:
        with unanswered_address() as nobody:
            stage.endpoints["v3.dead"] = nobody
            stage.save_endpoints()
            for _ in range(16):
                one, other, spare = chance.sample(names, 3)
                share_of_one = chance.randrange(1, 100)
                split = route(**{one: share_of_one, other: 100 - share_of_one})
                routes = chance.choice([(split,), (route("hello", **{one: 100}), split)])
                stage.save_rules(*routes, subsets_of=tuple(sorted({one, other, spare})))
                await stage.load.more(chance.choice([2, 10, 50]))
            stage.save_rules(route(v4=100), subsets_of=("v4",))
            await stage.until_share("v4", 1)
        assert trouble(stage.load.report()) == {}


class Silence:
    """A server that accepts connections and never answers."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.asked = asyncio.Event()
        """Somebody has said something."""


@asynccontextmanager
async def silence() -> AsyncGenerator[Silence]:
    async def hush(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(1024):
                silent.asked.set()
        writer.close()

    async with await asyncio.start_server(hush, LOOPBACK, 0) as server:
        silent = Silence(Address(*server.sockets[0].getsockname()))
        yield silent


async def test_a_route_to_a_silent_server_holds_up_only_what_it_matches(tmp_path: Path) -> None:
    """A TCP check takes it for healthy, so its own calls wait; everybody else's go on."""
    async with staged(tmp_path, "dubbo", route(v1=100)) as stage, silence() as silent:
        await stage.serve("v3")
        stage.endpoints["v4"] = silent.address
        stage.save_endpoints()
        routes = route("wait", v4=100), route(v3=100)
        stage.save_rules(*routes, subsets_of=("v1", "v2", "v3", "v4"))
        await stage.answered_by("v3")
        async with SPEECHES["dubbo"].caller(stage.address, "wait")() as ask:
            waiting = asyncio.ensure_future(ask())
            async with asyncio.timeout(PATIENCE_S):
                await silent.asked.wait()
            assert share(await stage.calls(), "v3") == 1
            assert not waiting.done()
        await asyncio.gather(waiting, return_exceptions=True)
        assert trouble(stage.load.report()) == {}
