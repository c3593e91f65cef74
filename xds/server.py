"""The ADS server: which streams are served, and how they end. Raw bytes in and out."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from math import inf
from random import random
from time import monotonic
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from meltemi.xds import resource
from meltemi.xds.admission_control import AdmissionControl
from meltemi.xds.dialect import Delta, Sotw
from meltemi.xds.drain import drain_schedule, expiry, lifetime
from meltemi.xds.limits import LimitError, Limits
from meltemi.xds.listening import listening
from meltemi.xds.loopback import require_loopback
from meltemi.xds.peer import Peer, UnidentifiedError
from meltemi.xds.response_cache import ResponseCache
from meltemi.xds.session import Session
from meltemi.xds.stream import Stream, read_request
from meltemi.xds.wire import ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence

    from meltemi.xds.bearer import Authenticate
    from meltemi.xds.credentials import MutualTls, ServerTls
    from meltemi.xds.dialect import Dialect
    from meltemi.xds.group import Group
    from meltemi.xds.observer import Observer, TurnedAway
    from meltemi.xds.resource import TypeRules, TypeUrl
    from meltemi.xds.stream import Context
    from meltemi.xds.wire import Node

    Introduce = Callable[[Context], Awaitable[tuple[Peer, float]]]
    """Who has opened a stream, and until when that is known by the server's clock. Raises Refused
    and LimitError.
    """

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

_DEADLINES = frozenset({"first_request", "write"})
"""Limits on a peer's time; all others are on what it may have."""

LATE = 0.9
"""The part of the grace after which streams of a stopping server are cut."""


class Refused(Exception):
    """A proxy is not served: the stream ends with this status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _unheard(_code: str, _limit: str) -> None:
    """Nobody wants to hear of streams that are turned away."""


class AdsServer:
    """Serves groups of proxies over gRPC: with mutual TLS, or in plaintext.

    ``groups`` finds the group of a node at a peer, or raises ``Refused``. ``services`` are offered
    beside the aggregated one where their type is in ``rules``. Nobody is served before ``ready``
    is set. ``turned_away`` hears of every stream that is refused or ended for what the peer did.
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
        turned_away: TurnedAway = _unheard,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.ready = False
        self._rules = tuple(rules)
        self._groups = groups
        self._observer = observer
        self._identifier = identifier
        self._further: list[grpc.GenericRpcHandler] = []
        self._servers: list[grpc.aio.Server] = []
        self._limits = limits or Limits()
        self._turned_away = turned_away
        self._clock = clock
        self._tls: MutualTls | None = None
        self._numbers = count(1)
        self._admission = AdmissionControl(self._limits)
        self._cache = ResponseCache()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._open: dict[asyncio.Task[Any], Stream] = {}
        self._arrivals: set[asyncio.Timeout] = set()
        self._stopping = False
        served = {rule.type_url for rule in rules}
        self._services = {name: url for name, url in services.items() if url in served}

    @property
    def waiting(self) -> int:
        """How many streams wait for their first configuration."""
        return self._admission.waiting

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
            require_loopback(address)
        self._tls = tls
        credentials = tls.server_credentials() if tls else None

        async def introduce(context: Context) -> tuple[Peer, float]:
            return self.peer(context), inf

        handlers = (*self._handlers(introduce), *self._further)
        async with self._listening(address, credentials, handlers) as port:
            yield port

    @asynccontextmanager
    async def serve_tokens(
        self, address: str, tls: ServerTls, authenticate: Authenticate
    ) -> AsyncGenerator[int]:
        """Listen on a further ``host:port`` for those whose streams carry a token; inside of
        ``serve``. Nothing but discovery is offered there.

        Raises CertificateError for files of TLS that cannot be used, OSError when the address is
        taken.
        """

        async def introduce(context: Context) -> tuple[Peer, float]:
            return await self._authenticated(context, authenticate)

        handlers = self._handlers(introduce)
        async with self._listening(address, tls.server_credentials(), handlers) as port:
            yield port

    @asynccontextmanager
    async def _listening(
        self,
        address: str,
        credentials: grpc.ServerCredentials | None,
        handlers: Sequence[grpc.GenericRpcHandler],
    ) -> AsyncGenerator[int]:
        server, port = listening(address, credentials, handlers, self._limits)
        self._servers.append(server)
        await server.start()
        try:
            yield port
        finally:
            await self._drain()

    async def _drain(self) -> None:
        """Let no more streams in, on any port, and end those that there are one after the other,
        within the grace. By itself grpc would leave idle ones alone until then, and cut all of
        them.
        """
        self._stopping, self.ready = True, False
        grace = self._limits.grace
        refusing = [asyncio.create_task(server.stop(grace)) for server in self._servers]
        for arrival in self._arrivals:
            arrival.reschedule(0)
        loop = asyncio.get_running_loop()
        moments = drain_schedule(len(self._open), grace, random)
        for stream, moment in zip(self._open.values(), moments, strict=True):
            loop.call_later(moment, stream.finish)
        late = loop.call_later(grace * LATE, self._cut)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        late.cancel()
        for server in self._servers:
            await server.stop(None)  # what else is offered on the port may be idle
        await asyncio.gather(*refusing)

    def _cut(self) -> None:
        for stream in self._open.values():
            stream.cut()

    def _handlers(self, introduce: Introduce) -> list[grpc.GenericRpcHandler]:
        names = {f"{AGGREGATED}/AggregatedResources": "", **self._services}
        return [self._handler(name, type_url, introduce) for name, type_url in names.items()]

    def _handler(self, name: str, only: TypeUrl, introduce: Introduce) -> grpc.GenericRpcHandler:
        service, _, noun = name.partition("/")

        async def sotw(_: object, context: Context) -> None:
            await self._serve_stream(Sotw(), only, context, introduce)

        async def delta(_: object, context: Context) -> None:
            await self._serve_stream(Delta(), only, context, introduce)

        # grpc's stubs know the blocking flavour of handlers only.
        methods: dict[str, Any] = {f"Stream{noun}": sotw, f"Delta{noun}": delta}
        return grpc.method_handlers_generic_handler(
            service,
            {name: grpc.stream_stream_rpc_method_handler(run) for name, run in methods.items()},
        )

    async def _serve_stream(
        self, dialect: Dialect[Any], only: TypeUrl, context: Context, introduce: Introduce
    ) -> None:
        task = _this_task()
        self._tasks.add(task)
        try:
            await self._serve_until_wrong(dialect, only, context, introduce)
        except grpc.aio.InternalError:
            return  # what grpc raises from any operation when the peer has gone
        finally:
            self._tasks.discard(task)
            self._open.pop(task, None)

    async def _serve_until_wrong(
        self, dialect: Dialect[Any], only: TypeUrl, context: Context, introduce: Introduce
    ) -> None:
        try:
            self._require_ready()
            peer, until = await introduce(context)
            with self._admission.entered(peer):
                await self._serve_session(dialect, only, context, peer, until)
        except ProtocolError as error:
            await self._refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except LimitError as error:
            late = error.limit in _DEADLINES
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.RESOURCE_EXHAUSTED
            await self._refuse(context, code, str(error), error.limit)
        except Refused as refused:
            await self._refuse(context, refused.code, refused.message)
        except grpc.aio.InternalError:
            raise
        except Exception:  # a mistake of ours: grpc logs it, and the stream ends with UNKNOWN
            self._turned_away("UNKNOWN", "")
            raise

    async def _refuse(
        self, context: Context, code: grpc.StatusCode, message: str, limit: str = ""
    ) -> None:
        self._turned_away(code.name, limit)
        await context.abort(code, message)

    def _require_ready(self) -> None:
        """Raises Refused."""
        if self._stopping:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
        if not self.ready:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "the configuration is not loaded yet")

    async def _first_request(self, context: Context) -> bytes | None:
        """None when the peer has nothing to say. Raises LimitError when it takes too long."""
        patience = self._limits.first_request
        try:
            async with self._arriving(patience):
                return await read_request(context)
        except TimeoutError as error:
            raise LimitError(
                "first_request",
                f"the peer took too long: its first request did not come within {patience:g} s",
            ) from error

    @asynccontextmanager
    async def _arriving(self, patience: float | None = None) -> AsyncGenerator[None]:
        """What is awaited here ends when the server stops. Raises Refused then, TimeoutError when
        it takes longer than ``patience`` seconds.
        """
        try:
            async with asyncio.timeout(patience) as arrival:
                self._arrivals.add(arrival)
                try:
                    yield
                finally:
                    self._arrivals.discard(arrival)
        except TimeoutError:
            self._require_ready()
            raise

    def peer(self, context: Context) -> Peer:
        """Who calls. Raises Refused where a certificate does not say who this is."""
        try:
            return Peer(context.peer(), self._tls.identify(context) if self._tls else None)
        except UnidentifiedError as error:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error

    async def _authenticated(
        self, context: Context, authenticate: Authenticate
    ) -> tuple[Peer, float]:
        """Who calls by a token. Until that is known it counts as a stream of its address. Raises
        Refused and LimitError.
        """
        address = context.peer()
        metadata = [(name, value) for name, value in context.invocation_metadata() or ()]
        try:
            with self._admission.entered(Peer(address)):
                async with self._arriving(self._limits.first_request):
                    found = await authenticate(address, metadata)
        except TimeoutError as error:
            raise Refused(
                grpc.StatusCode.UNAVAILABLE, "it takes too long to look at the token: try again"
            ) from error
        return Peer(address, found.identity, by_token=True), self._clock() + found.lasts

    @contextmanager
    def visit(self, context: Context) -> Generator[Peer]:
        """A call of something else that is offered, which counts as a stream of its peer. Raises
        Refused and LimitError.
        """
        peer = self.peer(context)
        with self._admission.entered(peer):
            yield peer

    async def _serve_session(
        self, dialect: Dialect[Any], only: TypeUrl, context: Context, peer: Peer, until: float
    ) -> None:
        first = await self._first_request(context)
        if first is None:
            return
        # By itself, not with the first response: grpc cannot end a stream whose headers wait behind
        # a message that nobody reads.
        await context.send_initial_metadata(())
        with self._admission.turn() as turn:
            async with self._arriving():
                await turn.come()
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
                cache=self._cache,
            )
            number = next(self._numbers)
            stream = Stream(number, session, context, self._observer, self._limits, self._clock)
            self._observer.opened(number, node, peer, self._clock())
            group.add(stream)
            try:
                stream.take(first)
                # 60 kB of extensions and metadata, twice; the owner keeps what it needs.
                del first, node
                await self._run(stream, turn.over, until)
            finally:
                group.remove(stream)
                self._observer.closed(number)

    async def _run(self, stream: Stream, caught_up: Callable[[], None], until: float) -> None:
        """Until the peer ends, fails or breaks the protocol, the server has had enough, or does
        not know any more who this is.
        """
        self._open[_this_task()] = stream
        loop, age = asyncio.get_running_loop(), self._limits.age
        reader = loop.create_task(stream.read())
        lasts = lifetime(age, random)
        ends = [(lasts, stream.retire), (2 * lasts, stream.finish)] if age else []
        if until < inf:
            ends.append((expiry(until - self._clock(), random), stream.finish))
        ageing = [loop.call_later(moment, end) for moment, end in ends]
        if self._stopping:
            stream.finish()
        try:
            await stream.write(caught_up)
        finally:
            for timer in ageing:
                timer.cancel()
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        if self._stopping:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "the server is stopping")


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "grpc runs each stream in a task"
    return task
