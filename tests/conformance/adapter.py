"""The xDS engine for a conformance harness that somebody else wrote: it says what is served.

    python tests/conformance/adapter.py --port 18000 --adapter-port 17000

The harness sets resources and version strings per node over ``adapter.proto`` and judges what the
engine makes of them. Versions are sent exactly as given, bodies need not mean anything. Not part
of the product.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import grpc.aio
import grpc_tools
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.wrappers_pb2 import StringValue
from grpc_tools import protoc

from meltemi.xds.group import Group
from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    PREFIX,
    RUNTIME,
    SECRET,
    Key,
    Removal,
    Resource,
    TypeRules,
    TypeUrl,
)
from meltemi.xds.server import SERVICES, AdsServer
from meltemi.xds.snapshot import NOTHING, Snapshot
from meltemi.xds.status import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence

    from google.protobuf import any_pb2
    from google.protobuf.message import Message

    from meltemi.xds.peer import Peer
    from meltemi.xds.wire import Node

ROUTE: TypeUrl = PREFIX + "envoy.config.route.v3.RouteConfiguration"
SCOPED_ROUTE: TypeUrl = PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
VIRTUAL_HOST: TypeUrl = PREFIX + "envoy.config.route.v3.VirtualHost"
LOCALITY_ENDPOINT: TypeUrl = PREFIX + "envoy.config.endpoint.v3.LbEndpoint"

ROUTE_SERVICES: Mapping[str, TypeUrl] = {
    "envoy.service.route.v3.RouteDiscoveryService/Routes": ROUTE,
    "envoy.service.route.v3.ScopedRoutesDiscoveryService/ScopedRoutes": SCOPED_ROUTE,
    "envoy.service.route.v3.VirtualHostDiscoveryService/VirtualHosts": VIRTUAL_HOST,
    "envoy.service.endpoint.v3.LocalityEndpointDiscoveryService/LocalityEndpoints": (
        LOCALITY_ENDPOINT
    ),
}

# The harness invents names that nobody has and counts responses: it wants to hear of resources
# that come and go, and nothing of those that never were. Nothing names anything, nothing lingers.
RULES = (
    TypeRules(CLUSTER, full_state=True, wildcard=True, removal=Removal.AT_ONCE),
    TypeRules(ENDPOINT, removal=Removal.AT_ONCE),
    TypeRules(LOCALITY_ENDPOINT, removal=Removal.AT_ONCE),
    TypeRules(LISTENER, full_state=True, wildcard=True, removal=Removal.AT_ONCE),
    *(
        TypeRules(url, removal=Removal.AT_ONCE)
        for url in (ROUTE, SCOPED_ROUTE, VIRTUAL_HOST, SECRET, RUNTIME, EXTENSION)
    ),
)

DELAY = 0.3
"""Seconds before a change of one resource takes effect: the harness sends its request for it on
one connection and the change that it must not miss on another.
"""


@dataclass(frozen=True, slots=True)
class StampedSnapshot(Snapshot):
    """A snapshot whose types have the versions that somebody wrote on them.

    ``stamps`` by type; ``stamp`` is that of all others.
    """

    stamps: Mapping[TypeUrl, str] = field(default_factory=dict[TypeUrl, str])
    stamp: str = ""

    def version(self, type_url: TypeUrl, overlay: Mapping[str, Resource | None] = NOTHING) -> str:
        return self.stamps.get(type_url, self.stamp)


class StateRequest(Protocol):
    """``SetStateRequest``."""

    node: str
    version: str
    resources: Sequence[any_pb2.Any]


class NodeRequest(Protocol):
    """``clearStateRequest``."""

    node: str


class ResourceRequest(Protocol):
    """``ResourceRequest``; the names are the harness's."""

    node: str
    typeUrl: str
    resourceName: str
    version: str


class Held:
    """What one node should hold. Nothing is published that is as it was."""

    def __init__(self) -> None:
        self.group = Group(StampedSnapshot())
        self._resources: dict[Key, Resource] = {}
        self._stamps: dict[TypeUrl, str] = {}
        self._stamp = ""

    def set(self, version: str, resources: Iterable[Resource]) -> None:
        """Replace everything; the version is that of all types, also of those without resources."""
        self._stamps, self._stamp = {}, version
        self._publish({resource.key: resource for resource in resources})

    def update(self, key: Key, version: str) -> bool:
        """Another version of a resource; False when there is no such resource."""
        resource = self._resources.get(key)
        return resource is not None and self._put(key, version, resource.body)

    def add(self, key: Key, version: str) -> bool:
        """A resource that says no more than its name."""
        return self._put(key, version, StringValue(value=key.name).SerializeToString())

    def remove(self, key: Key, version: str) -> bool:
        """Take a resource away; False when there is no such resource."""
        if key not in self._resources:
            return False
        # A harness that does not know the version says none: the type keeps the one that it has.
        if version:
            self._stamps[key.type_url] = version
        self._publish({each: held for each, held in self._resources.items() if each != key})
        return True

    def _put(self, key: Key, version: str, body: bytes) -> bool:
        self._stamps[key.type_url] = version
        self._publish({**self._resources, key: Resource(*key, version, body)})
        return True

    def _publish(self, resources: dict[Key, Resource]) -> None:
        before, self._resources = self._resources, resources
        snapshot = StampedSnapshot(stamps=dict(self._stamps), stamp=self._stamp).replace(resources)
        either = before.keys() | resources.keys()
        changed = {key for key in either if before.get(key) != resources.get(key)}
        self.group.publish(snapshot, changed)


class Adapter:
    """The harness's side: unary calls that change what nodes hold."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._held: dict[str, Held] = {}
        self._messages = message_classes()

    async def find(self, node: Node, _: Peer) -> Group:
        """The group of a node, also of one that nobody has set anything for."""
        return self._of(node.id).group

    def handler(self) -> grpc.GenericRpcHandler:
        """The service ``adapter.Adapter``."""
        handlers = {
            "SetState": self._unary("SetStateRequest", "SetStateResponse", self._set_state),
            "ClearState": self._unary("clearStateRequest", "clearStateResponse", self._clear_state),
            "UpdateResource": self._changing("UpdateResourceResponse", Held.update),
            "AddResource": self._changing("AddResourceResponse", Held.add),
            "RemoveResource": self._changing("RemoveResourceResponse", Held.remove),
        }
        return grpc.method_handlers_generic_handler("adapter.Adapter", handlers)

    def _of(self, node: str) -> Held:
        return self._held.setdefault(node, Held())

    def _unary(self, request: str, response: str, answer: Any) -> grpc.RpcMethodHandler[Any, Any]:
        return grpc.unary_unary_rpc_method_handler(
            answer, self._messages[request].FromString, self._messages[response].SerializeToString
        )

    def _changing(
        self, response: str, change: Callable[[Held, Key, str], bool]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        async def answer(request: ResourceRequest, _: object) -> Message:
            await asyncio.sleep(self._delay)
            key = Key(request.typeUrl, request.resourceName)
            return self._messages[response](
                success=change(self._of(request.node), key, request.version)
            )

        return self._unary("ResourceRequest", response, answer)

    async def _set_state(
        self, request: StateRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Message:
        try:
            resources = [_named(each, request.version) for each in request.resources]
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._of(request.node).set(request.version, resources)
        return self._messages["SetStateResponse"](success=True)

    async def _clear_state(self, request: NodeRequest, _: object) -> Message:
        self._of(request.node).set("", ())
        return self._messages["clearStateResponse"](response=f"{request.node} holds nothing")


def _named(resource: any_pb2.Any, version: str) -> Resource:
    """Raises ValueError for what cannot be served."""
    if resource.type_url not in {rules.type_url for rules in RULES}:
        raise ValueError(f"{resource.type_url!r} is not served here: {__file__} lists what is")
    try:
        # Whatever a discovery service serves says its name in field 1.
        name = StringValue.FromString(resource.value).value
    except DecodeError as error:
        raise ValueError(f"a {resource.type_url} that is no message: {error}") from error
    return Resource(resource.type_url, name, version, resource.value)


def message_classes() -> Mapping[str, type[Message]]:
    """The messages of ``adapter.proto``, compiled now: no generated code to keep."""
    source = Path(__file__).with_suffix(".proto")
    known = Path(grpc_tools.__file__).parent / "_proto"
    with TemporaryDirectory() as scratch:
        compiled = Path(scratch, "descriptors")
        arguments = [f"-I{source.parent}", f"-I{known}", f"--descriptor_set_out={compiled}"]
        if protoc.main(["protoc", *arguments, "--include_imports", source.name]) != 0:
            raise RuntimeError(f"{source} does not compile; protoc has said why")
        files = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file
    return {
        name.removeprefix("adapter."): message
        for name, message in message_factory.GetMessages(files, pool=DescriptorPool()).items()
    }


@asynccontextmanager
async def serving(
    port: int, adapter_port: int, *, delay: float = DELAY
) -> AsyncGenerator[tuple[int, int]]:
    """Both servers on loopback while the context lasts; gives their ports (useful with 0).

    Raises OSError when a port is taken.
    """
    adapter = Adapter(delay)
    xds = AdsServer(RULES, adapter.find, Status(), services={**SERVICES, **ROUTE_SERVICES})
    xds.ready = True
    control = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    control.add_generic_rpc_handlers((adapter.handler(),))
    try:
        control_port = control.add_insecure_port(f"127.0.0.1:{adapter_port}")
    except RuntimeError as error:
        raise OSError(f"cannot listen on 127.0.0.1:{adapter_port}: {error}") from error
    async with xds.serve(f"127.0.0.1:{port}") as xds_port:
        await control.start()
        try:
            yield xds_port, control_port
        finally:
            await control.stop(None)


async def run(port: int, adapter_port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    async with serving(port, adapter_port) as (xds, control):
        sys.stdout.write(f"xDS on 127.0.0.1:{xds}, the adapter on 127.0.0.1:{control}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Serve the xDS engine with what a conformance harness sets from outside.",
        epilog="Both ports are plaintext on loopback; 0 takes any free one and says which.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=18000, help="xDS: ADS and every single service")
    parser.add_argument("--adapter-port", type=int, default=17000, help="adapter.Adapter")
    arguments = parser.parse_args()
    try:
        asyncio.run(run(arguments.port, arguments.adapter_port))
    except OSError as error:
        parser.exit(1, f"{error}\nGive another port, or stop the program that has this one.\n")


if __name__ == "__main__":
    main()
