"""A stage for Redis: real servers, a folder of rules, Meltemi, and Envoy."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.envoy_binary import ENVOY_VERSION
from meltemi.testing.ports import LOOPBACK, Address, free_ports
from meltemi.testing.standalone import standalone_envoy
from meltemi.testing.valkey import Valkey
from tests.envoy.rig import PATIENCE_S, entry, save

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from meltemi.testing.envoy import Envoy
    from meltemi.testing.load import Ask, Connect, Load
    from tests.envoy.rig import Document

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
    meltemi: MeltemiProcess = field(init=False)
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
    folder: Path,
    *,
    drain_s: int = 600,
    sotw: bool = False,
    version: str = ENVOY_VERSION,
    serve: Callable[[Path], MeltemiProcess] = MeltemiProcess,
) -> AsyncGenerator[RedisStage]:
    """Everything is mirrored, at 0 %."""
    async with AsyncExitStack() as opening:
        servers = {host: await opening.enter_async_context(Valkey()) for host in HOSTS}
        ports = dict(zip(HOSTS, free_ports(len(HOSTS)), strict=True))
        stage = RedisStage(folder, ports, servers)
        stage.save_entry(HOST)
        stage.save_entry(COPY)
        stage.save(stage.mirrored(0))
        stage.meltemi = await opening.enter_async_context(serve(folder))
        stage.envoy = standalone_envoy(
            stage.meltemi.xds, drain_s=drain_s, sotw=sotw, version=version
        )
        await opening.enter_async_context(stage.envoy)
        await stage.envoy.wait_ready()
        yield stage


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
