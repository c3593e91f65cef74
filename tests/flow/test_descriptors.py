"""A process with few file descriptors keeps some for itself: a crowd hurts only newcomers."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import grpc.aio

from meltemi.testing import admin_page
from meltemi.testing.ports import LOOPBACK, Address, free_ports
from meltemi.testing.process import ServerProcess
from meltemi.testing.xds_client import delta_request
from meltemi.xds.resource import CLUSTER
from tests.flow.xds_rig import DELTA, PATIENCE, Client

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTORS = 100
ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example]
  resolution: STATIC
  ports: [{{number: 20880, name: tcp-dubbo}}]
  endpoints: [{{address: 127.0.0.1}}]
"""


async def served(address: str, node: str) -> None:
    """A new proxy gets the clusters."""
    async with grpc.aio.insecure_channel(address) as channel:
        client = Client(channel, DELTA)
        await client.say(delta_request(CLUSTER, node=node))
        await client.hear()


async def test_more_connections_than_descriptors_disturb_nobody_who_is_served(
    tmp_path: Path,
) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "one.yaml").write_text(ENTRY.format(name="one"))
    xds, admin = (Address(LOOPBACK, port) for port in free_ports(2))
    serve: list[str | Path] = [sys.executable, "-m", "meltemi", "serve", rules, "--xds", str(xds)]
    few = ["sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh"]
    argv = [*few, *serve, "--admin", str(admin)]

    async def ready() -> bool:
        return (await admin_page.get(admin, "/readyz")).status == 200

    async with AsyncExitStack() as stack:
        process = await ServerProcess.start("Meltemi", argv, tmp_path / "log")
        await stack.enter_async_context(process)
        await process.wait_until(ready, "become ready", 30)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(str(xds)))
        old = Client(channel, DELTA)
        await old.say(delta_request(CLUSTER, node="old"))
        first = await old.hear()
        await old.say(delta_request(CLUSTER, nonce=first.nonce))

        async with AsyncExitStack() as crowd:
            for _ in range(2 * DESCRIPTORS):
                _, writer = await asyncio.open_connection(xds.host, xds.port)
                crowd.callback(writer.close)
            (rules / "two.yaml").write_text(ENTRY.format(name="two"))
            second = await old.hear()
            assert any("two.example" in name for name in second.names)
            assert await ready()

        async def again() -> bool:
            try:
                await served(str(xds), "new")
            except grpc.aio.AioRpcError:
                return False
            return True

        await process.wait_until(again, "serve again", PATIENCE)
