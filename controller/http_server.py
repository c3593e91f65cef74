"""An HTTP server that is one of several in a process."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from meltemi.controller.admin.connections import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from starlette.types import ASGIApp


class _Server(uvicorn.Server):
    """Signals belong to the process, not to one of its servers."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def quiet(
    application: ASGIApp, connection: type[Connection] = Connection, **more: Any
) -> uvicorn.Config:
    """How an application is served without words of uvicorn's; ``more`` are its options."""
    return uvicorn.Config(
        application,
        log_config=None,
        lifespan="off",
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=connection,
        timeout_graceful_shutdown=1,
        **more,
    )


ELSEWHERE = "end what listens there, or choose another address"


@asynccontextmanager
async def listening(config: uvicorn.Config, host: str, port: int) -> AsyncGenerator[int]:
    """Serve while the context lasts; gives the port. Raises OSError: the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket_ = socket.create_server((host, port), family=family)
    except OSError as error:
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise OSError(f"cannot listen on {host} port {port}: {why}; {ELSEWHERE}") from error
    # Accepted connections inherit it; asyncio does not see that they are TCP's. Without it the end
    # of an answer waits 40 ms for the acknowledgement of its beginning.
    socket_.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[socket_]))
    try:
        yield socket_.getsockname()[1]
    finally:
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        socket_.close()
