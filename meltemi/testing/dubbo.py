"""A Dubbo provider and a Dubbo consumer that really speak Dubbo2 with Hessian 2, on asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Self, TypeAlias

from meltemi.testing.dubbo_wire import (
    HEADER,
    Heartbeat,
    Message,
    Request,
    Response,
    body_length,
    from_bytes,
    to_bytes,
)
from meltemi.testing.ports import LOOPBACK, Address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from meltemi.testing.hessian2 import Value
    from meltemi.testing.load import Ask, Connect

REMEMBERED = 10_000

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]


async def _read(reader: asyncio.StreamReader) -> Message:
    """The next frame. Raises ConnectionError when the peer is gone or no Dubbo peer."""
    try:
        header = await reader.readexactly(HEADER.size)
        return from_bytes(header, await reader.readexactly(body_length(header)))
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("the Dubbo peer closed the connection") from error


class DubboServer:
    """``async with DubboServer("v1") as server``: a provider of every interface and method.

    It answers with its version and echoes the request's attachments; ``answer`` replaces that.
    ``delay_s`` holds every answer back, ``silent`` never answers; both may be set while it runs.
    Heartbeats are always answered. Calls of one connection are served side by side.
    """

    def __init__(
        self,
        version: str,
        *,
        port: int = 0,
        delay_s: float = 0.0,
        silent: bool = False,
        answer: Answer | None = None,
    ) -> None:
        self.version = version
        self.delay_s = delay_s
        self.silent = silent
        self.calls = 0
        """How many calls ever arrived."""
        self.requests: deque[Request] = deque(maxlen=REMEMBERED)
        """The latest calls, the newest last."""
        self.connections = 0
        """How many connections were ever accepted."""
        self._answer = answer or self._tell_version
        self._port = port
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[object], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def address(self) -> Address:
        """Where it listens. Raises RuntimeError unless it runs."""
        if self._server is None:
            raise RuntimeError("this Dubbo server does not run: use `async with`")
        host, port = self._server.sockets[0].getsockname()
        return Address(host, port)

    async def stop(self) -> None:
        """Stop listening and cut every connection at once, as the end of a process would."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        await asyncio.gather(*self._serving)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        try:
            async with asyncio.TaskGroup() as calls:
                while True:
                    calls.create_task(self._handle(await _read(reader), writer))
        except* ConnectionError:
            pass
        finally:
            del self._serving[task]
            writer.close()

    async def _handle(self, message: Message, writer: asyncio.StreamWriter) -> None:
        match message:
            case Heartbeat(answer=False):
                writer.write(to_bytes(Heartbeat(message.id, answer=True)))
            case Request():
                await self._handle_call(message, writer)
            case _:
                return
        await writer.drain()

    async def _handle_call(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        self.requests.append(request)
        response = await self._answer(request)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if request.two_way and not self.silent:
            writer.write(to_bytes(response))

    async def _tell_version(self, request: Request) -> Response:
        return Response(request.id, value=self.version, attachments=request.attachments)


class DubboClient:
    """One TCP connection of a consumer; calls on it may overlap. It never reconnects.

    ``async with await DubboClient.open(address) as client``.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._reading = asyncio.create_task(self._read_answers(reader))

    @classmethod
    async def open(cls, address: Address) -> Self:
        """Connect. Raises OSError."""
        return cls(*await asyncio.open_connection(address.host, address.port))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close. Calls still under way fail with ConnectionError."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def call(
        self,
        interface: str,
        method: str,
        *,
        attachments: Mapping[str, Value] | None = None,
        version: str = "",
        group: str = "",
        arguments: Sequence[str] = (),
    ) -> Response:
        """Call and wait for the answer, whatever it is; ``result()`` of it raises for errors.

        ``arguments`` are Java Strings. Interface, path, version and group also travel as
        attachments, as with Dubbo's own consumers. Has no timeout of its own. Raises
        ConnectionError when the connection is or gets lost.
        """
        named = {"path": interface, "interface": interface, "version": version, "group": group}
        request = Request(
            id=next(self._ids),
            interface=interface,
            method=method,
            version=version,
            descriptor="Ljava/lang/String;" * len(arguments),
            arguments=tuple(arguments),
            attachments={key: value for key, value in named.items() if value}
            | dict(attachments or {}),
        )
        return await self._ask(request)

    async def heartbeat(self) -> None:
        """Send a heartbeat and wait for its answer. Raises ConnectionError."""
        await self._ask(Heartbeat(next(self._ids)))

    async def _ask(self, message: Request | Heartbeat) -> Response:
        if self._reading.done():
            raise ConnectionResetError("this Dubbo connection was lost")
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting[message.id] = answer
        try:
            self._writer.write(to_bytes(message))
            await self._writer.drain()
            return await answer
        finally:
            del self._waiting[message.id]

    async def _read_answers(self, reader: asyncio.StreamReader) -> None:
        lost = ConnectionResetError("this Dubbo connection was closed")
        try:
            while True:
                self._take(await _read(reader))
        except ConnectionError as error:
            lost = ConnectionResetError(str(error))
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(lost)

    def _take(self, message: Message) -> None:
        match message:
            case Heartbeat(answer=False):
                self._writer.write(to_bytes(Heartbeat(message.id, answer=True)))
            case Heartbeat():
                self._resolve(Response(message.id))
            case Response():
                self._resolve(message)
            case Request():
                pass

    def _resolve(self, response: Response) -> None:
        answer = self._waiting.get(response.id)
        if answer is not None and not answer.done():
            answer.set_result(response)


def dubbo_caller(
    address: Address,
    interface: str,
    method: str,
    *,
    attachments: Mapping[str, Value] | None = None,
    arguments: Sequence[str] = (),
) -> Connect:
    """For ``Load``: connections on which this call is made again and again."""

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Ask]:
        async with await DubboClient.open(address) as client:

            async def ask() -> str:
                response = await client.call(
                    interface, method, attachments=attachments, arguments=arguments
                )
                return str(response.result())

            yield ask

    return connect
