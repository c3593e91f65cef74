"""Stages for the live tests: servers in versions, a folder of rules, Meltemi, Envoy, and load."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import yaml

from meltemi.protocols.naming import ClusterName, SplitName
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.dubbo import DubboServer, dubbo_caller
from meltemi.testing.envoy_binary import ENVOY_VERSION
from meltemi.testing.load import Load
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import EmbeddedMeltemi, standalone_envoy
from meltemi.testing.thrift import ThriftServer, thrift_caller

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from meltemi.controller.client_tls import ClientTls
    from meltemi.controller.plane import ControlPlane
    from meltemi.testing.envoy import Envoy
    from meltemi.testing.load import Connect
    from meltemi.testing.report import Call, Report

HOST = "greeter.example"
PATIENCE_S = 30.0
"""For whatever must happen sooner or later; a machine that is busy may need it."""

Document: TypeAlias = "dict[str, Any]"


# Rules, in the shapes that a cluster has


def entry(protocol: str, port: int, endpoints: Mapping[str, Address], host: str = HOST) -> Document:
    """A ServiceEntry. ``endpoints`` by name: what stands before a dot is the label ``version``."""
    token = f"tcp-{protocol}"
    listed = [
        {
            "address": address.host,
            "ports": {token: address.port},
            "labels": {"version": name.partition(".")[0]},
        }
        for name, address in endpoints.items()
    ]
    ports = [{"number": port, "name": token}]
    spec = {"hosts": [host], "resolution": "STATIC", "ports": ports, "endpoints": listed}
    return _istio("ServiceEntry", host, spec)


def subsets(*versions: str, **others: str) -> Document:
    """A DestinationRule with one subset per version, and ``others``: versions by another name."""
    by_name = {version: version for version in versions} | others
    named = [{"name": name, "labels": {"version": version}} for name, version in by_name.items()]
    return _istio("DestinationRule", HOST, {"host": HOST, "subsets": named})


def rule(*routes: Document) -> Document:
    """A MetaRouter."""
    return {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"name": "greeter"},
        "spec": {"hosts": [HOST], "routes": list(routes)},
    }


def route(method: str = "", /, **weights: int) -> Document:
    """A route to subsets by weight, of one method or of everything."""
    to = [
        {"destination": {"host": HOST, "subset": version}, "weight": weight}
        for version, weight in weights.items()
    ]
    match = {"attributes": {"method": {"exact": method}}} if method else {}
    return {"name": f"to-{method or 'all'}", "match": match, "route": to}


def _istio(kind: str, host: str, spec: Document) -> Document:
    name = host.partition(".")[0]
    api = "networking.istio.io/v1"
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec}


def text_of(*documents: Document) -> str:
    """The documents as the text of one YAML file."""
    return yaml.safe_dump_all(documents)


def save(path: Path, *documents: Document) -> None:
    """Save as an editor does: all at once, under the old name."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text_of(*documents))
    os.replace(scratch, path)


# Protocols that have versions


class Server(Protocol):
    """A backend of either protocol."""

    calls: int
    delay_s: float

    @property
    def address(self) -> Address: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Speech:
    """How a protocol is served and called. An answer begins with the server's version."""

    serve: Callable[[str], AbstractAsyncContextManager[Server]]
    caller: Callable[[Address, str], Connect]


SPEECHES: Mapping[str, Speech] = {
    "dubbo": Speech(DubboServer, lambda at, method: dubbo_caller(at, "demo.Greeter", method)),
    "thrift": Speech(ThriftServer, lambda at, method: thrift_caller(at, method, "ann")),
}


def version_of(answer: str) -> str:
    """Which server an answer is from."""
    return answer.partition(":")[0]


def versions(report: Report) -> Counter[str]:
    """How many answers each version gave."""
    return Counter(version_of(call.answer) for call in report.calls if call.answer is not None)


def share(report: Report, version: str) -> float:
    """The part of the answers that a version gave."""
    found = versions(report)
    return found[version] / found.total()


def from_version(version: str) -> Callable[[Call], bool]:
    """For ``Load.first``: an answer of that version."""
    return lambda call: call.answer is not None and version_of(call.answer) == version


def trouble(report: Report) -> dict[str, object]:
    """What a client could have noticed; empty when every connection was used and nothing failed."""
    unused = report.connections - report.connections_used
    found = {"failed": report.errors, "reconnects": report.reconnects, "unused": unused}
    return {name: value for name, value in found.items() if value}


async def until_stat(envoy: Envoy, name: str, is_so: Callable[[int], bool]) -> None:
    """Wait until a statistic of Envoy's is so; one that does not exist is 0."""

    async def holds() -> bool:
        return is_so((await envoy.stats(name)).get(name, 0))

    await envoy.process.wait_until(holds, f"show what was waited for as {name}", PATIENCE_S)


# The stage


class XdsServer(Protocol):
    """Where Envoy finds its rules."""

    @property
    def xds(self) -> Address: ...


Serve: TypeAlias = "Callable[[Path], AbstractAsyncContextManager[XdsServer]]"


@dataclass(slots=True)
class Stage:
    """One service in versions behind an Envoy that Meltemi rules, with load on open connections.

    ``changed`` and ``shows`` wait for what must happen; ``PATIENCE_S`` bounds them.
    """

    protocol: str
    rules: Path
    port: int
    servers: dict[str, Server]
    endpoints: dict[str, Address]
    meltemi: XdsServer
    envoy: Envoy
    load: Load
    closing: AsyncExitStack

    @property
    def process(self) -> MeltemiProcess:
        """Meltemi, when it is a process of its own."""
        assert isinstance(self.meltemi, MeltemiProcess)
        return self.meltemi

    @property
    def plane(self) -> ControlPlane:
        """Meltemi's inside, when it is embedded."""
        assert isinstance(self.meltemi, EmbeddedMeltemi)
        return self.meltemi.plane

    async def findings(self) -> list[Document]:
        """What Meltemi says is wrong."""
        found: list[Document] = json.loads((await self.process.get("/findings")).body)
        return found

    async def until_found(self, *codes: str) -> list[Document]:
        """Wait until exactly these findings are there, and give them."""
        found: list[Document] = []

        async def holds() -> bool:
            found[:] = await self.findings()
            return tuple(finding["code"] for finding in found) == codes

        await self.process.process.wait_until(holds, f"tell {codes or 'nothing'}", PATIENCE_S)
        return found

    @property
    def address(self) -> Address:
        """Where Envoy listens for this service."""
        return Address(LOOPBACK, self.port)

    async def serve(self, name: str) -> Server:
        """Start one more server; the next ``save_endpoints`` names it."""
        server = await self.closing.enter_async_context(SPEECHES[self.protocol].serve(name))
        self.servers[name] = server
        self.endpoints[name] = server.address
        return server

    def save_endpoints(self, endpoints: Mapping[str, Address] | None = None) -> None:
        """Save which endpoints there are, by default ``endpoints``."""
        listed = self.endpoints if endpoints is None else endpoints
        save(self.rules / "service.yaml", entry(self.protocol, self.port, listed))

    def save_rules(self, *routes: Document, subsets_of: tuple[str, ...] = ("v1", "v2")) -> None:
        """Save routes and subsets at once."""
        save(self.rules / "rules.yaml", subsets(*subsets_of), rule(*routes))

    async def answered_by(self, version: str) -> None:
        """Wait for an answer of this version."""
        async with asyncio.timeout(PATIENCE_S):
            await self.load.first(from_version(version))

    async def calls(self, count: int = 300) -> Report:
        """What this many calls from now on show."""
        moment = self.load.now()
        async with asyncio.timeout(PATIENCE_S):
            await self.load.more(count + 8)  # on each connection one may be under way
        return self.load.report().since(moment)

    async def until_share(self, version: str, wanted: float) -> None:
        """Wait until a version has about this share of the answers."""
        async with asyncio.timeout(PATIENCE_S):
            while abs(share(await self.calls(100), version) - wanted) > 0.03:
                pass

    async def until_stat(self, name: str, is_so: Callable[[int], bool]) -> None:
        """Wait until a statistic of Envoy's is so."""
        await until_stat(self.envoy, name, is_so)

    def cluster(self, subset: str = "") -> str:
        """The cluster of the service or of a subset."""
        return str(ClusterName(HOST, self.port, subset))

    def split(self, label: str = "to-all") -> str:
        """The cluster of a weighted route."""
        return str(SplitName(HOST, self.port, "default", "greeter", label))


@asynccontextmanager
async def staged(
    folder: Path,
    protocol: str,
    *routes: Document,
    names: tuple[str, ...] = ("v1", "v2"),
    serve: Serve = MeltemiProcess,
    sotw: bool = False,
    drain_s: int = 600,
    method: str = "hello",
    version: str = ENVOY_VERSION,
    tls: ClientTls | None = None,
) -> AsyncGenerator[Stage]:
    """A stage with one server per name, subsets v1 and v2, these routes, and load under way."""
    speech, port = SPEECHES[protocol], free_port()
    async with AsyncExitStack() as closing:
        servers = {name: await closing.enter_async_context(speech.serve(name)) for name in names}
        endpoints = {name: server.address for name, server in servers.items()}
        save(folder / "service.yaml", entry(protocol, port, endpoints))
        save(folder / "rules.yaml", subsets("v1", "v2"), rule(*routes))
        meltemi = await closing.enter_async_context(serve(folder))
        envoy = standalone_envoy(meltemi.xds, drain_s=drain_s, sotw=sotw, version=version, tls=tls)
        await closing.enter_async_context(envoy)
        await envoy.wait_ready()
        connect = speech.caller(Address(LOOPBACK, port), method)
        load = await closing.enter_async_context(Load(connect, connections=8, rate=400))
        yield Stage(protocol, folder, port, servers, endpoints, meltemi, envoy, load, closing)
