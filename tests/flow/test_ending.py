"""``meltemi serve`` is told to end: readiness goes first, and how long it takes is bounded."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.xds_client import delta_request
from meltemi.xds.resource import CLUSTER
from tests.flow.xds_rig import DELTA, PATIENCE, Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

SERVICES = 300  # whose clusters do not fit into what HTTP/2 lets the server write ahead
NARROW = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
ENTRY = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: s{number}}}
spec:
  hosts: [s{number}.example]
  resolution: STATIC
  ports: [{{number: 20880, name: tcp-dubbo}}]
  endpoints: [{{address: 127.0.0.1}}]
"""


@asynccontextmanager
async def serving(folder: Path, **settings: str) -> AsyncGenerator[MeltemiProcess]:
    """Meltemi with many services, and these settings."""
    entries = (ENTRY.format(number=number) for number in range(SERVICES))
    (folder / "services.yaml").write_text("".join(entries))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(f"MELTEMI_{name}", value)
        async with MeltemiProcess(folder) as meltemi:
            yield meltemi


@asynccontextmanager
async def connected(meltemi: MeltemiProcess) -> AsyncGenerator[Client]:
    """A proxy that has asked for clusters and did not read them yet."""

    async def joined() -> bool:
        return "proxy.connected" in meltemi.process.log_tail()

    async with grpc.aio.insecure_channel(str(meltemi.xds), NARROW) as channel:
        client = Client(channel, DELTA)
        await client.say(delta_request(CLUSTER, node="proxy"))
        await meltemi.process.wait_until(joined, "let the proxy in", PATIENCE)
        yield client


def tell(meltemi: MeltemiProcess) -> None:
    os.kill(meltemi.process.pid, signal.SIGTERM)


async def until_not_ready(meltemi: MeltemiProcess) -> None:
    async def holds() -> bool:
        return not await meltemi.ready()

    await meltemi.process.wait_until(holds, "say that it is not ready", PATIENCE)


async def test_without_proxies_it_ends_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, GRACE="3600") as meltemi:
        tell(meltemi)
        async with asyncio.timeout(PATIENCE):
            assert await meltemi.process.wait() == 0


async def test_a_proxy_that_reads_is_seen_off_without_waiting_for_the_grace(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, GRACE="3600") as meltemi, connected(meltemi) as client:
        await client.hear()
        tell(meltemi)
        assert await client.end() == (grpc.StatusCode.UNAVAILABLE, "the server is stopping")
        async with asyncio.timeout(PATIENCE):
            assert await meltemi.process.wait() == 0


async def test_readiness_goes_first_and_the_grace_bounds_what_follows(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        meltemi = await stack.enter_async_context(serving(tmp_path, GRACE="2"))
        await stack.enter_async_context(connected(meltemi))
        tell(meltemi)
        await until_not_ready(meltemi)
        async with asyncio.timeout(PATIENCE):
            assert await meltemi.process.wait() == 0


async def test_told_twice_it_ends_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, GRACE="3600") as meltemi, connected(meltemi):
        tell(meltemi)
        await until_not_ready(meltemi)
        tell(meltemi)
        async with asyncio.timeout(PATIENCE):
            assert await meltemi.process.wait() == 0
        assert "Traceback" not in meltemi.process.log_tail()
