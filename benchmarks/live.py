"""How long a saved rule takes to show on an open connection, beside the least that it can take.

Run as ``python -m benchmarks.live``: milliseconds from before the save until a client has the
first changed answer (Redis: until the first mirrored write is there), through ``meltemi serve`` and
a real Envoy. The floor: the same change of the same Envoy, pushed by the same xDS engine inside the
client's process, so without a file to watch, to read or to compile.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from meltemi.controller.nodes import profile
from meltemi.controller.offline.offline import read_path
from meltemi.controller.settings import Settings
from meltemi.protocols.registry import load
from meltemi.protocols.types import type_table
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.dubbo import DubboServer, dubbo_caller
from meltemi.testing.ports import LOOPBACK, Address, free_ports
from meltemi.testing.redis_connection import RedisConnection
from meltemi.testing.standalone import standalone_envoy
from meltemi.testing.thrift import ThriftServer, thrift_caller
from meltemi.testing.valkey import Valkey
from meltemi.xds.group import Group
from meltemi.xds.resource import Key
from meltemi.xds.server import AdsServer
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from meltemi.testing.load import Ask
    from meltemi.xds.peer import Peer
    from meltemi.xds.wire import Node

REPEATS = 20
REST_S = 0.3
"""Between two changes, so that each one comes after quiet."""
GIVE_UP_S = 60.0

ENTRY = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: $name}
spec:
  hosts: [$name.example]
  resolution: STATIC
  ports: [{number: $port, name: tcp-$protocol}]
  endpoints:
"""
ENDPOINT = """\
    - {address: 127.0.0.1, ports: {tcp-$protocol: $target}, labels: {version: $version}}
"""
SUBSETS = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: main}
spec:
  host: main.example
  subsets: [{name: v0, labels: {version: v0}}, {name: v1, labels: {version: v1}}]
"""
ROUTE = """
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: main}
spec:
  hosts: [main.example]
  routes: [{name: all, route: [{destination: {host: main.example, subset: v$state}}]}]
"""
MIRROR = """
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: main}
spec:
  host: [main.example]
  redis:
    - route: {host: main.example}
      mirror: [{route: {host: copy.example, port: $copy}, percentage: {value: $state}}]
"""


class Probe(Protocol):
    """Looks at an open connection. States are 0 and 1."""

    async def until(self, state: int) -> None:
        """Call until an answer shows the state."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """What does not change, the changing file for both states, and who looks.

    ``shows``: the states whose arrival is timed; the others are only waited for.
    """

    fixed: str
    states: tuple[str, str]
    open: Callable[[], AbstractAsyncContextManager[Probe]]
    shows: frozenset[int] = frozenset({0, 1})

    def write(self, folder: Path, state: int) -> None:
        """The rules of a state, into a folder of its own."""
        folder.mkdir()
        (folder / "fixed.yaml").write_text(self.fixed)
        (folder / "rule.yaml").write_text(self.states[state])


# Dubbo and Thrift: who answers


@dataclass(frozen=True, slots=True)
class Answers:
    """Servers are called v0 and v1."""

    ask: Ask

    async def until(self, state: int) -> None:
        while not (await self.ask()).startswith(f"v{state}"):
            pass


@asynccontextmanager
async def routed(protocol: str) -> AsyncGenerator[Case]:
    """A route that leads to one server or the other."""
    serve = DubboServer if protocol == "dubbo" else ThriftServer
    (port,) = free_ports(1)
    at = Address(LOOPBACK, port)
    caller = (
        dubbo_caller(at, "demo.Greeter", "hello")
        if protocol == "dubbo"
        else thrift_caller(at, "hello", "ann")
    )

    @asynccontextmanager
    async def probe() -> AsyncGenerator[Probe]:
        async with caller() as ask:
            yield Answers(ask)

    async with serve("v0") as v0, serve("v1") as v1:
        fixed = entry("main", protocol, port, v0.address.port, v1.address.port) + SUBSETS
        states = Template(ROUTE).substitute(state=0), Template(ROUTE).substitute(state=1)
        yield Case(fixed, states, probe)


def entry(name: str, protocol: str, port: int, *targets: int) -> str:
    """A ServiceEntry with an endpoint per target port."""
    head = Template(ENTRY).substitute(name=name, protocol=protocol, port=port)
    endpoints = [
        Template(ENDPOINT).substitute(protocol=protocol, target=target, version=f"v{index}")
        for index, target in enumerate(targets)
    ]
    return "".join((head, *endpoints))


# Redis: whether the copy has the write


@dataclass(frozen=True, slots=True)
class Mirrored:
    """State 1 mirrors every write, state 0 none."""

    client: RedisConnection
    copy: RedisConnection

    async def until(self, state: int) -> None:
        before = await self.copy.ask("GET", "n")
        while True:
            await self.client.ask("INCR", "n")
            if not state:
                await asyncio.sleep(0.05)  # for a mirrored write to arrive, if there is one
            after = await self.copy.ask("GET", "n")
            if (after != before) == bool(state):
                return
            before = after


@asynccontextmanager
async def mirrored() -> AsyncGenerator[Case]:
    """A mirror at 0 % or 100 %."""
    port, copy_port = free_ports(2)

    @asynccontextmanager
    async def probe() -> AsyncGenerator[Probe]:
        async with (
            await RedisConnection.open(Address(LOOPBACK, port)) as client,
            await RedisConnection.open(copy.address) as behind,
        ):
            yield Mirrored(client, behind)

    async with Valkey() as main, Valkey() as copy:
        entries = (
            entry("main", "redis", port, main.address.port),
            entry("copy", "redis", copy_port, copy.address.port),
        )
        off, on = (Template(MIRROR).substitute(copy=copy_port, state=n) for n in (0, 100))
        yield Case("---\n".join(entries), (off, on), probe, frozenset({1}))


# The two ways


async def through_files(case: Case, folder: Path) -> list[float]:
    """Seconds from the save to what it changes."""
    rules, scratch = folder / "served", folder / "rule.new"
    case.write(rules, 0)

    def change(state: int) -> None:
        scratch.write_text(case.states[state])
        os.replace(scratch, rules / "rule.yaml")

    async with MeltemiProcess(rules, folder=folder) as meltemi:
        return await measured(case, meltemi.xds, change)


class Floor:
    """The xDS engine with one group and a finished snapshot for each state."""

    def __init__(self, folders: tuple[Path, Path]) -> None:
        self._folders = folders
        self._registry = load()
        self._snapshots: list[Snapshot] = []
        self._group = Group(Snapshot())
        rules = type_table(self._registry.route_types)
        self._types = [rule.type_url for rule in rules]
        self.server = AdsServer(rules, self._join, Status())
        self.server.ready = True

    def change(self, state: int) -> None:
        """Publish the other snapshot."""
        before, after = self._snapshots[1 - state], self._snapshots[state]
        self._group.publish(after, [*self._differences(before, after)])

    async def _join(self, node: Node, _: Peer) -> Group:
        key = profile(node, self._registry).group
        for folder in self._folders:
            compiled = read_path(folder, self._registry, Settings())
            self._snapshots.append(compiled.group(key).snapshot)
        self._group = Group(self._snapshots[0])
        return self._group

    def _differences(self, before: Snapshot, after: Snapshot) -> Iterator[Key]:
        for type_url in self._types:
            old, new = before.of_type(type_url), after.of_type(type_url)
            for name in old.keys() | new.keys():
                if old.get(name) != new.get(name):
                    yield Key(type_url, name)


async def at_the_floor(case: Case, folder: Path) -> list[float]:
    """Seconds from publishing the finished snapshot to what it changes."""
    folders = folder / "0", folder / "1"
    for state in (0, 1):
        case.write(folders[state], state)
    floor = Floor(folders)
    async with floor.server.serve(f"{LOOPBACK}:0") as port:
        return await measured(case, Address(LOOPBACK, port), floor.change)


async def measured(case: Case, xds: Address, change: Callable[[int], None]) -> list[float]:
    """One Envoy, one open connection, and changes to and fro."""
    times: list[float] = []
    async with standalone_envoy(xds) as envoy:
        await envoy.wait_ready()
        async with case.open() as probe, asyncio.timeout(GIVE_UP_S):
            await probe.until(0)
            while len(times) < REPEATS:
                for state in (1, 0):
                    await asyncio.sleep(REST_S)
                    began = perf_counter()
                    change(state)
                    await probe.until(state)
                    if state in case.shows:
                        times.append(perf_counter() - began)
    return times


CASES: dict[str, Callable[[], AbstractAsyncContextManager[Case]]] = {
    "Dubbo route": lambda: routed("dubbo"),
    "Thrift route": lambda: routed("thrift"),
    "Redis mirror": mirrored,
}
WAYS = {"saved file": through_files, "floor": at_the_floor}


async def main() -> None:
    """Print one line per case and way."""
    out = sys.stdout.write
    out(f"{'ms':<12} {'':<12} {'min':>7} {'median':>7} {'max':>7}\n")
    for name, opened in CASES.items():
        for way, run in WAYS.items():
            with tempfile.TemporaryDirectory(prefix="meltemi-live-") as folder:
                async with opened() as case:
                    times = await run(case, Path(folder))
            figures = min(times), statistics.median(times), max(times)
            out(f"{name:<12} {way:<12} {' '.join(f'{1e3 * each:7.1f}' for each in figures)}\n")


if __name__ == "__main__":
    asyncio.run(main())
