"""The ADS server: which streams are served, and how they end. Raw bytes in and out."""

from __future__ import annotations

import asyncio
import ipaddress
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from meltemi.xds import resource
from meltemi.xds.dialect import Delta, Sotw
from meltemi.xds.limits import Limits
from meltemi.xds.peer import Peer, UnidentifiedError
from meltemi.xds.session import Session
from meltemi.xds.stream import Stream, read_request
from meltemi.xds.wire import ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from meltemi.xds.credentials import MutualTls
    from meltemi.xds.dialect import Dialect
    from meltemi.xds.group import Group
    from meltemi.xds.observer import Observer
    from meltemi.xds.resource import TypeRules, TypeUrl
    from meltemi.xds.stream import Context
    from meltemi.xds.wire import Node

AGGREGATED = "envoy.service.discovery.v3.AggregatedDiscoveryService"

SERVICES: Mapping[str, TypeUrl] = {
    "envoy.service.listener.v3.ListenerDiscoveryService/Listeners": resource.LISTENER,
    "envoy.service.cluster.v3.ClusterDiscoveryService/Clusters": resource.CLUSTER,
    "envoy.service.endpoint.v3.EndpointDiscoveryService/Endpoints": resource.ENDPOINT,
    "envoy.service.extension.v3.ExtensionConfigDiscoveryService/ExtensionConfigs": (
        resource.EXTENSION
    ),
    "envoy.service.runtime.v3.RuntimeDiscoveryService/Runtime": resource.RUNTIME,
    "envoy.service.secret.v3.SecretDiscoveryService/Secrets": resource.SECRET,
}
"""Services of one type: what follows ``Stream`` and ``Delta`` in the method, by service."""

_OPTIONS = (
    # A delta reconnect lists every version that the proxy holds: 63 bytes and more for each.
    ("grpc.max_receive_message_length", 32 * 1024 * 1024),
    ("grpc.max_concurrent_streams", 100),
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Proxies send keepalives of their own; the default calls that abuse below five minutes.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Refused(Exception):
    """A proxy is not served: the stream ends with this status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class AdsServer:
    """Serves groups of proxies over gRPC: with mutual TLS, or in plaintext.

    ``groups`` finds the group of a node at a peer, or raises ``Refused``. ``services`` are offered
    beside the aggregated one where their type is in ``rules``. Nobody is served before ``ready``
    is set.
    """

    def __init__(
        self,
        rules: Sequence[TypeRules],
        groups: Callable[[Node, Peer], Awaitable[Group]],
        observer: Observer,
        *,
        identifier: str = "meltemi",
        services: Mapping[str, TypeUrl] = SERVICES,
        limits: Limits | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.ready = False
        self._rules = tuple(rules)
        self._groups = groups
        self._observer = observer
        self._identifier = identifier
        self._further: list[grpc.GenericRpcHandler] = []
        self._limits = limits or Limits()
        self._clock = clock
        self._tls: MutualTls | None = None
        self._numbers = count(1)
        self._stopping = asyncio.Event()
        served = {rule.type_url for rule in rules}
        self._services = {name: url for name, url in services.items() if url in served}

    def offer(self, handler: grpc.GenericRpcHandler) -> None:
        """Serve something more on the same port; before ``serve``."""
        self._further.append(handler)

    @asynccontextmanager
    async def serve(
        self, address: str, tls: MutualTls | None = None, *, plaintext: bool = False
    ) -> AsyncGenerator[int]:
        """Listen on ``host:port`` while the context lasts; gives the port (useful with port 0).

        Without ``tls`` nobody has an identity, so only loopback is served, or every address where
        ``plaintext`` asks for that.

        Raises ValueError for an address that may not be served, CertificateError for files of TLS
        that cannot be used, OSError when the address is taken.
        """
        if tls is None and not plaintext:
            _require_loopback(address)
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((*self._handlers(), *self._further))
        self._tls = tls
        credentials = tls.server_credentials() if tls else None
        try:
            if credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error
        await server.start()
        try:
            yield port
        finally:
            # Idle streams would make the server wait the whole grace period: they end themselves.
            self._stopping.set()
            await server.stop(self._limits.stop)

    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        names = {f"{AGGREGATED}/AggregatedResources": "", **self._services}
        return [self._handler(name, type_url) for name, type_url in names.items()]

    def _handler(self, name: str, only: TypeUrl) -> grpc.GenericRpcHandler:
        service, _, noun = name.partition("/")

        async def sotw(_: object, context: Context) -> None:
            await self._serve_stream(Sotw(), only, context)

        async def delta(_: object, context: Context) -> None:
            await self._serve_stream(Delta(), only, context)

        # grpc's stubs know the blocking flavour of handlers only.
        methods: dict[str, Any] = {f"Stream{noun}": sotw, f"Delta{noun}": delta}
        return grpc.method_handlers_generic_handler(
            service,
            {name: grpc.stream_stream_rpc_method_handler(run) for name, run in methods.items()},
        )

    async def _serve_stream(self, dialect: Dialect[Any], only: TypeUrl, context: Context) -> None:
        try:
            if self.ready:
                await self._serve_until_wrong(dialect, only, context)
            else:
                await context.abort(
                    grpc.StatusCode.UNAVAILABLE, "the configuration is not loaded yet"
                )
        except grpc.aio.InternalError:
            return  # what grpc raises from any operation when the peer has gone

    async def _serve_until_wrong(
        self, dialect: Dialect[Any], only: TypeUrl, context: Context
    ) -> None:
        try:
            peer = self.peer(context)
            async with asyncio.timeout(self._limits.first_request):
                first = await read_request(context)
            if first is not None:
                # By itself, not with the first response: grpc cannot end a stream whose headers
                # wait behind a message that nobody reads.
                await context.send_initial_metadata(())
                await self._serve_session(dialect, only, context, peer, first)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the peer took too long")
        except ProtocolError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except Refused as refused:
            await context.abort(refused.code, refused.message)

    def peer(self, context: Context) -> Peer:
        """Who calls. Raises Refused where a certificate does not say who this is."""
        try:
            return Peer(context.peer(), self._tls.identify(context) if self._tls else None)
        except UnidentifiedError as error:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error

    async def _serve_session(
        self, dialect: Dialect[Any], only: TypeUrl, context: Context, peer: Peer, first: bytes
    ) -> None:
        node = dialect.node(first)
        group = await self._groups(node, peer)
        session = Session(
            dialect,
            self._rules,
            group.snapshot,
            node_id=node.id,
            identifier=self._identifier,
            drain=group.drain,
            only=only,
        )
        stream = Stream(next(self._numbers), session, context, self._observer, self._clock)
        self._observer.opened(stream.number, node, peer, self._clock())
        del node  # 60 kB of extensions and metadata; the owner keeps what it needs
        group.add(stream)
        try:
            stream.take(first)
            await self._run(stream)
        finally:
            group.remove(stream)
            self._observer.closed(stream.number)

    async def _run(self, stream: Stream) -> None:
        """Until the peer ends, fails or breaks the protocol, or the server stops."""
        reader = asyncio.create_task(stream.read())
        writer = asyncio.create_task(stream.write(self._limits.write))
        stopped = asyncio.create_task(self._stopping.wait())
        tasks: tuple[asyncio.Task[Any], ...] = (reader, writer, stopped)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
            stream.finish()
            await writer
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._stopping.is_set():
            raise Refused(grpc.StatusCode.UNAVAILABLE, "the server is stopping")


def _require_loopback(address: str) -> None:
    """Raises ValueError with a sentence for the user."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback or not port.isdecimal():
        raise ValueError(
            f"cannot listen on {address!r}: without TLS only a loopback address is allowed, "
            "such as 127.0.0.1:18000"
        )
