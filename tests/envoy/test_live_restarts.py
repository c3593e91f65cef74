"""Meltemi ends and begins again while calls run: Envoy serves on, and follows again afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.dubbo import GENERIC_PROXY
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, RUNTIME
from tests.abilities import Seen, saw
from tests.envoy.rig import PATIENCE_S, route, share, staged, trouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.envoy.rig import Stage

pytestmark = pytest.mark.envoy

CONNECTED = "control_plane.connected_state"
ASKED = {RUNTIME, CLUSTER, ENDPOINT, LISTENER, GENERIC_PROXY.route_type}


async def ended(stage: Stage, end: Callable[[MeltemiProcess], Awaitable[object]]) -> None:
    await end(stage.process)
    await stage.until_stat(CONNECTED, lambda now: now == 0)
    assert trouble(await stage.calls(100)) == {}


async def again(stage: Stage) -> None:
    """Started again, and Envoy has asked for everything that it had asked for before."""
    await stage.process.start()

    async def holds() -> bool:
        return await asked(stage) == ASKED

    await stage.process.process.wait_until(holds, "be asked for everything", PATIENCE_S)


async def asked(stage: Stage) -> set[str]:
    """The types that proxies follow."""
    proxies = json.loads((await stage.process.get("/proxies")).body)
    return {type_url for proxy in proxies for type_url in proxy["types"]}


async def received(stage: Stage) -> dict[str, int]:
    """How often something came for each subscription of the Envoy."""
    counters = ("update_success", "update_rejected")
    stats = await stage.envoy.stats()
    return {name: value for name, value in stats.items() if name.endswith(counters)}


async def test_a_restart_sends_nothing_again_and_later_changes_arrive(tmp_path: Path) -> None:
    async with staged(tmp_path, "dubbo", route(v1=80, v2=20)) as stage:
        before = await received(stage)
        for end in (MeltemiProcess.terminate, MeltemiProcess.kill):
            await ended(stage, end)
            await again(stage)
            assert trouble(await stage.calls(100)) == {}
            assert await received(stage) == before
        stage.save_rules(route(v1=10, v2=90))
        await stage.until_share("v2", 0.9)
        assert sum((await received(stage)).values()) == sum(before.values()) + 1
        assert trouble(stage.load.report()) == {}
        await saw(stage.envoy, "dubbo", Seen.RESTARTED)


@pytest.mark.parametrize(
    ("sotw", "kept"),
    [
        pytest.param(False, ("v3",), id="delta"),
        # In this dialect a proxy cannot say which clusters it still uses: they must stay.
        pytest.param(True, ("v1", "v3"), id="sotw"),
    ],
)
async def test_what_changed_while_meltemi_was_down_arrives_after_its_start(
    tmp_path: Path, *, sotw: bool, kept: tuple[str, ...]
) -> None:
    async with staged(tmp_path, "thrift", route(v1=100), sotw=sotw) as stage:
        await ended(stage, MeltemiProcess.kill)
        await stage.serve("v3")
        stage.save_endpoints()
        stage.save_rules(route(v3=100), subsets_of=kept)
        assert share(await stage.calls(100), "v1") == 1
        await stage.process.start()
        await stage.answered_by("v3")
        assert share(await stage.calls(100), "v3") == 1
        assert trouble(stage.load.report()) == {}
