"""``meltemi serve --kube``: what is applied to a cluster reaches the calls through a real Envoy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import standalone_envoy
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.objects import KINDS, apply, definition, entry, router, subsets

if TYPE_CHECKING:
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

pytestmark = [pytest.mark.cluster, pytest.mark.envoy]

CUSTOM = ("ServiceEntry", "DestinationRule", "MetaRouter")
PATIENCE_S = 60.0


async def prepare(admin: ApiClient, port: int, versions: dict[str, int]) -> None:
    for kind in CUSTOM:
        await apply(admin, definition(KINDS[kind]))
    for body in (
        entry("default", "shop", port, versions),
        subsets("default", "shop", *versions),
        router("default", "shop", "v1"),
    ):
        await apply(admin, body)


async def until(client: DubboClient, version: str) -> None:
    """Sooner or later a call is answered by that version, and none fails meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while (await client.call("demo.Greeter", "hello")).value != version:
            pass


async def test_a_changed_rule_moves_calls_and_a_dead_api_server_moves_none(
    assets: Path, tmp_path: Path
) -> None:
    port = free_port()
    async with (
        ApiServer(assets, tmp_path) as cluster,
        administrator(cluster) as admin,
        DubboServer("v1") as v1,
        DubboServer("v2") as v2,
    ):
        await prepare(admin, port, {"v1": v1.address.port, "v2": v2.address.port})
        options = ("--kube", "--kubeconfig", str(cluster.kubeconfig))
        async with (
            MeltemiProcess(None, extra_args=options, folder=tmp_path) as meltemi,
            standalone_envoy(meltemi.xds) as envoy,
        ):
            await envoy.wait_ready()
            async with await DubboClient.open(Address(LOOPBACK, port)) as client:
                await until(client, "v1")
                await apply(admin, router("default", "shop", "v2"))
                await until(client, "v2")
                await cluster.kill()
                for _ in range(50):
                    assert (await client.call("demo.Greeter", "hello")).value == "v2"
                await cluster.start()
                await apply(admin, router("default", "shop", "v1"))
                await until(client, "v1")
