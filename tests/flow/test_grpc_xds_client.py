"""gRPC's own xDS client reads HTTP listeners, routes, clusters and endpoints from the engine.

It speaks the state of the world on the aggregated stream, and names everything that it wants.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    Locality,
    SocketAddress,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import ApiListener, Listener
from envoy_data_plane.envoy.config.route.v3 import (
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)

from meltemi.protocols.encode import encode, pack
from meltemi.protocols.types import type_table
from meltemi.testing.evidence import record
from meltemi.testing.ports import LOOPBACK
from meltemi.xds.group import Group
from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    Key,
    Resource,
    TypeUrl,
    content_version,
)
from meltemi.xds.server import AdsServer
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status
from tests.flow.grpc_xds_client import METHOD, TARGET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import betterproto2

    from meltemi.xds.peer import Peer
    from meltemi.xds.wire import Node

ROUTES: TypeUrl = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
PATIENCE_S = 20.0
ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def resource(type_url: TypeUrl, name: str, message: betterproto2.Message, *names: Key) -> Resource:
    body = encode(message)
    return Resource(type_url, name, content_version(body), body, frozenset(names))


def listener() -> Resource:
    """What the target's name stands for."""
    manager = HttpConnectionManager(
        rds=Rds(config_source=ADS, route_config_name="routes"),
        http_filters=[HttpFilter(name="router", typed_config=pack(Router()))],
    )
    message = Listener(name=TARGET, api_listener=ApiListener(api_listener=pack(manager)))
    return resource(LISTENER, TARGET, message)


def routes(to: str) -> Resource:
    """Everything goes to one cluster."""
    everything = Route(match=RouteMatch(prefix=""), route=RouteAction(cluster=to))
    host = VirtualHost(name="all", domains=["*"], routes=[everything])
    message = RouteConfiguration(name="routes", virtual_hosts=[host])
    return resource(ROUTES, "routes", message, Key(CLUSTER, to))


def cluster(name: str) -> Resource:
    message = Cluster(
        name=name,
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=ADS),
    )
    return resource(CLUSTER, name, message, Key(ENDPOINT, name))


def assignment(name: str, port: int) -> Resource:
    """One endpoint. gRPC leaves out localities without a weight."""
    at = Address(socket_address=SocketAddress(address=LOOPBACK, port_value=port))
    message = ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            LocalityLbEndpoints(
                locality=Locality(region="here"),
                load_balancing_weight=1,
                lb_endpoints=[LbEndpoint(endpoint=Endpoint(address=at))],
            )
        ],
    )
    return resource(ENDPOINT, name, message)


@asynccontextmanager
async def backend(name: str) -> AsyncGenerator[int]:
    """A gRPC server that answers with its name; gives its port."""

    async def hello(*_: object) -> bytes:
        return name.encode()

    _, service, method = METHOD.split("/")
    handlers: dict[str, Any] = {method: grpc.unary_unary_rpc_method_handler(hello)}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


@dataclass(slots=True)
class Caller:
    """The client's process. ``answers`` is everything that it was told so far."""

    process: asyncio.subprocess.Process
    answers: list[str]

    async def next(self) -> str:
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode().strip()
        assert line, "the client has ended"
        self.answers.append(line)
        return line

    async def until(self, answer: str) -> None:
        """Sooner or later somebody else answers, and then always."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.next() != answer:
                pass
            assert {await self.next() for _ in range(50)} == {answer}

    @property
    def failed(self) -> list[str]:
        return [answer for answer in self.answers if answer.startswith("failed")]


@asynccontextmanager
async def caller(folder: Path, port: int, features: list[str]) -> AsyncGenerator[Caller]:
    """The client with this engine as its control plane."""
    server = {
        "server_uri": f"{LOOPBACK}:{port}",
        "channel_creds": [{"type": "insecure"}],
        "server_features": features,
    }
    bootstrap = folder / "bootstrap.json"
    bootstrap.write_text(json.dumps({"xds_servers": [server], "node": {"id": "grpc"}}))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("grpc_xds_client.py")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "GRPC_XDS_BOOTSTRAP": str(bootstrap)},
    )
    record(f"gRPC's own xDS client {grpc.__version__}")
    try:
        yield Caller(process, [])
    finally:
        process.kill()
        await process.wait()


class Engine:
    """The engine with one group. ``status`` is what the client said."""

    def __init__(self, *resources: Resource) -> None:
        self.group = Group(Snapshot.of(resources), drain=0.5)
        self.status = Status()
        self.server = AdsServer(type_table([ROUTES]), self._join, self.status)
        self.server.ready = True

    async def _join(self, _node: Node, _peer: Peer) -> Group:
        return self.group

    def publish(self, *resources: Resource, removed: tuple[Key, ...] = ()) -> None:
        changes: dict[Key, Resource | None] = {each.key: each for each in resources}
        changes |= dict.fromkeys(removed)
        self.group.publish(self.group.snapshot.replace(changes), changes.keys())

    def refusals(self) -> list[Any]:
        return [
            refusal
            for stream in self.status.streams()
            for found in stream.types.values()
            for refusal in found.refusals
        ]


@pytest.mark.parametrize(
    "features", [["xds_v3"], ["xds_v3", "ignore_resource_deletion"]], ids=["plain", "keeping"]
)
async def test_grpcs_own_client_follows_endpoints_and_new_clusters_without_a_failed_call(
    tmp_path: Path, features: list[str]
) -> None:
    async with AsyncExitStack() as opening:
        one = await opening.enter_async_context(backend("one"))
        other = await opening.enter_async_context(backend("other"))
        third = await opening.enter_async_context(backend("third"))
        engine = Engine(listener(), routes("a"), cluster("a"), assignment("a", one))
        port = await opening.enter_async_context(engine.server.serve(f"{LOOPBACK}:0"))
        calls = await opening.enter_async_context(caller(tmp_path, port, features))
        await calls.until("one")
        engine.publish(assignment("a", other))
        await calls.until("other")
        engine.publish(
            routes("b"),
            cluster("b"),
            assignment("b", third),
            removed=(Key(CLUSTER, "a"), Key(ENDPOINT, "a")),
        )
        await calls.until("third")
        assert calls.failed == []
        assert engine.refusals() == []
        (stream,) = engine.status.streams()
        asked = {LISTENER, ROUTES, CLUSTER, ENDPOINT}
        assert {url for url, found in stream.types.items() if found.version} == asked


async def test_grpcs_own_client_serves_on_while_the_engine_is_gone_and_follows_it_again(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as opening:
        one = await opening.enter_async_context(backend("one"))
        other = await opening.enter_async_context(backend("other"))
        first = Engine(listener(), routes("a"), cluster("a"), assignment("a", one))
        async with first.server.serve(f"{LOOPBACK}:0") as port:
            calls = await opening.enter_async_context(caller(tmp_path, port, ["xds_v3"]))
            await calls.until("one")
        await calls.until("one")
        again = Engine(listener(), routes("a"), cluster("a"), assignment("a", other))
        async with again.server.serve(f"{LOOPBACK}:{port}"):
            await calls.until("other")
            assert again.refusals() == []
        assert calls.failed == []
