"""A Thrift server and Thrift clients: Apache Thrift's own library on both sides.

Needs the extra ``meltemi[demo]``. The library blocks, so a server has a thread per connection and
an asynchronous client has one thread.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import socket
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, cast

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.THeaderProtocol import THeaderProtocol, THeaderProtocolFactory
from thrift.server.TServer import TThreadedServer
from thrift.Thrift import TApplicationException
from thrift.transport.THeaderTransport import THeaderClientType
from thrift.transport.TSocket import TServerSocket, TSocket
from thrift.transport.TTransport import (
    TFramedTransport,
    TTransportException,
    TTransportFactoryBase,
)

from meltemi.testing.evidence import record
from meltemi.testing.ports import LOOPBACK, Address
from meltemi.testing.thrift_greeter import GreeterClient, GreeterProcessor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from thrift.protocol.TProtocol import TProtocolBase

    from meltemi.testing.load import Ask, Connect

REMEMBERED = 10_000
# What the server understands; it answers each client in the client's own manner.
_UNDERSTOOD = (
    THeaderClientType.HEADERS,
    THeaderClientType.FRAMED_BINARY,
    THeaderClientType.UNFRAMED_BINARY,
)


class ThriftCallError(RuntimeError):
    """The peer answered with a TApplicationException: ``type`` is its number. Still connected.

    Envoy's own errors come like this: 1 no route, 6 upstream trouble.
    """

    def __init__(self, kind: int, text: str) -> None:
        super().__init__(f"TApplicationException {kind}: {text}")
        self.type = kind


@dataclass(frozen=True, slots=True)
class ThriftRequest:
    """One call as it arrived. A multiplexed ``method`` still has its ``service:`` prefix."""

    method: str
    name: str
    headers: Mapping[str, str]


class _StoppedError(BaseException):
    """Ends the library's accept loop, which survives every Exception."""


class _Listening(TServerSocket):
    """The library's server socket; it listens from the beginning and can be stopped."""

    def __init__(self, port: int) -> None:
        super().__init__(LOOPBACK, port)
        self.clients: list[socket.socket] = []
        self._stopped = False
        self._lock = threading.Lock()
        super().listen()

    def listen(self) -> None:
        """The library's server calls it once more."""

    @property
    def address(self) -> Address:
        assert self.handle is not None
        host, port = self.handle.getsockname()
        return Address(host, port)

    def accept(self) -> TSocket:
        try:
            client = super().accept()
        except OSError as error:
            raise _StoppedError from error
        with self._lock:
            if self._stopped:
                client.close()
                raise _StoppedError
            assert client.handle is not None
            self.clients.append(client.handle)
        return client

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            handles = [self.handle, *self.clients]
        for handle in handles:
            # Closing would not wake a thread that waits in the socket; shutting down does.
            with suppress(OSError):
                if handle is not None:
                    handle.shutdown(socket.SHUT_RDWR)


class ThriftServer:
    """``async with ThriftServer("v1") as server``: every method answers ``<version>:<name>``.

    The library's threaded server; it understands framed, unframed and THeader clients with the
    binary protocol. ``delay_s`` holds every answer back, ``silent`` never answers; both may be set
    while it runs.
    """

    def __init__(
        self, version: str, *, port: int = 0, delay_s: float = 0.0, silent: bool = False
    ) -> None:
        self.version = version
        self.delay_s = delay_s
        self.silent = silent
        self.calls = 0
        """How many calls ever arrived."""
        self.requests: deque[ThriftRequest] = deque(maxlen=REMEMBERED)
        """The latest calls, the newest last."""
        self._port = port
        self._counting = threading.Lock()
        self._ending = threading.Event()
        self._listening: _Listening | None = None
        self._thread = threading.Thread(target=self._serve, name=f"thrift-{version}", daemon=True)

    async def __aenter__(self) -> Self:
        self._listening = _Listening(self._port)
        self._thread.start()
        record(f"Apache Thrift {importlib.metadata.version('thrift')}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> Address:
        """Where it listens. Raises RuntimeError before the start."""
        return self._socket.address

    @property
    def connections(self) -> int:
        """How many connections were ever accepted."""
        return len(self._socket.clients)

    async def stop(self) -> None:
        """Stop listening and cut every connection at once, as the end of a process would."""
        self._socket.stop()
        # Only now: a call that was held back must not be answered after all.
        self._ending.set()
        await asyncio.to_thread(self._thread.join)
        self._socket.close()

    @property
    def _socket(self) -> _Listening:
        if self._listening is None:
            raise RuntimeError("this Thrift server was not started: use `async with`")
        return self._listening

    def _serve(self) -> None:
        server = TThreadedServer(
            GreeterProcessor(self._answer),
            self._socket,
            TTransportFactoryBase(),
            THeaderProtocolFactory(_UNDERSTOOD),
            daemon=True,
        )
        with suppress(_StoppedError):
            server.serve()

    def _answer(self, method: str, name: str, protocol: TProtocolBase) -> str:
        headers = cast("THeaderProtocol", protocol).get_headers()
        named = {key.decode(): value.decode() for key, value in headers.items()}
        with self._counting:
            self.calls += 1
            self.requests.append(ThriftRequest(method, name, named))
        self._ending.wait(None if self.silent else self.delay_s)
        return f"{self.version}:{name}"


class ThriftClient:
    """One TCP connection for one thread, one call at a time. It never reconnects.

    ``transport``: ``header`` (THeader, which carries headers) or ``framed`` (which cannot); both
    with the binary protocol. ``timeout_s``: how long one call may take; after that the connection
    is lost, because a late answer would be taken for the next one.
    """

    def __init__(
        self,
        address: Address,
        *,
        transport: Literal["header", "framed"] = "header",
        timeout_s: float = 10.0,
    ) -> None:
        """Connect. Raises ConnectionError."""
        self._socket = TSocket(address.host, address.port)
        self._socket.setTimeout(timeout_s * 1000)
        self._header: THeaderProtocol | None = None
        if transport == "header":
            self._header = THeaderProtocol(self._socket, (THeaderClientType.HEADERS,))
        self._greeter = GreeterClient(
            self._header or TBinaryProtocol(TFramedTransport(self._socket))
        )
        self._lost = False
        try:
            self._socket.open()
        except TTransportException as error:
            raise ConnectionRefusedError(f"{address}: {error.message}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, name: str, headers: Mapping[str, str] | None = None) -> str:
        """``method(name)``; ``service:method`` is how a multiplexed client names it.

        Raises ThriftCallError, and ConnectionError when the connection is or gets lost.
        """
        if self._lost:
            raise ConnectionResetError("this Thrift connection was lost")
        self._set_headers(headers or {})
        try:
            return self._greeter.call(method, name)
        except TApplicationException as error:
            raise ThriftCallError(error.type, str(error)) from error
        except (TTransportException, OSError) as error:
            self._lost = True
            raise ConnectionResetError(str(error)) from error

    def _set_headers(self, headers: Mapping[str, str]) -> None:
        if headers and self._header is None:
            raise ValueError("only the header transport carries headers")
        for name, value in headers.items():
            cast("THeaderProtocol", self._header).set_header(name.encode(), value.encode())

    def hello(self, name: str) -> str:
        return self.call("hello", name)

    def close(self) -> None:
        """Close; from another thread it also ends a call under way, with ConnectionError."""
        self._lost = True
        with suppress(OSError):
            if self._socket.handle is not None:
                self._socket.handle.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class AsyncThriftClient:
    """``async with await AsyncThriftClient.open(address) as client``: ThriftClient in a thread."""

    def __init__(self, client: ThriftClient, thread: ThreadPoolExecutor) -> None:
        self._client = client
        self._thread = thread
        self._closed = False

    @classmethod
    async def open(
        cls,
        address: Address,
        *,
        transport: Literal["header", "framed"] = "header",
        timeout_s: float = 10.0,
    ) -> Self:
        """Connect, as ThriftClient does."""
        thread = ThreadPoolExecutor(1, "thrift-client")
        try:
            client = await asyncio.get_running_loop().run_in_executor(
                thread, lambda: ThriftClient(address, transport=transport, timeout_s=timeout_s)
            )
        except BaseException:
            thread.shutdown(wait=False)
            raise
        return cls(client, thread)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def call(self, method: str, name: str, headers: Mapping[str, str] | None = None) -> str:
        """As ThriftClient's. Overlapping calls wait for each other."""
        if self._closed:
            raise ConnectionResetError("this Thrift connection was closed")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._client.call, method, name, headers)

    async def hello(self, name: str) -> str:
        return await self.call("hello", name)

    async def aclose(self) -> None:
        self._closed = True
        self._client.close()
        await asyncio.to_thread(self._thread.shutdown)


def thrift_caller(
    address: Address,
    method: str,
    name: str,
    *,
    headers: Mapping[str, str] | None = None,
    transport: Literal["header", "framed"] = "header",
) -> Connect:
    """For ``Load``: connections on which this call is made again and again."""

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Ask]:
        async with await AsyncThriftClient.open(address, transport=transport) as client:

            async def ask() -> str:
                return await client.call(method, name, headers)

            yield ask

    return connect
