"""The admin endpoints: health, readiness, proxies and findings."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address
from time import monotonic
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from meltemi.controller.proxies import describe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from starlette.requests import Request

    from meltemi.controller.plane import ControlPlane


def application(plane: ControlPlane) -> Starlette:
    """``/healthz``, ``/readyz``, ``/proxies`` and ``/findings``."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        if plane.ready:
            return PlainTextResponse("ok\n")
        return PlainTextResponse("the configuration is not loaded yet\n", status_code=503)

    async def proxies(_: Request) -> Response:
        return JSONResponse(describe(plane.status, plane.members(), monotonic()))

    async def findings(_: Request) -> Response:
        return JSONResponse([finding.to_dict() for finding in plane.findings])

    pages = {"healthz": healthz, "readyz": readyz, "proxies": proxies, "findings": findings}
    return Starlette(routes=[Route(f"/{name}", page) for name, page in pages.items()])


class _Server(uvicorn.Server):
    """Signals belong to the process, not to one of its servers."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@asynccontextmanager
async def serve_admin(plane: ControlPlane, host: str, port: int) -> AsyncGenerator[int]:
    """Serve while the context lasts; gives the port.

    Raises:
        OSError: the address is taken. ValueError: it is not loopback.
    """
    if not _is_loopback(host):
        raise ValueError(
            f"cannot listen on {host!r} port {port}: without authentication the admin page is on "
            "a loopback address only, such as 127.0.0.1:18080"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family)
    config = uvicorn.Config(
        application(plane),
        log_config=None,
        lifespan="off",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listening.close()
