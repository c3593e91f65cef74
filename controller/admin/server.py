"""The admin port itself: HTTP, with TLS if there are files for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.admin.access import read_tokens
from meltemi.controller.admin.pages import application
from meltemi.controller.admin.security import AdminSecurity
from meltemi.controller.http_server import listening, quiet
from meltemi.xds.loopback import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import uvicorn
    from starlette.types import ASGIApp

    from meltemi.controller.health.replica import ReplicaHealth
    from meltemi.controller.plane import ControlPlane

RELOAD = 30.0
"""Seconds between two looks at the files of TLS, which may be replaced at any time."""

CLOSED = "set MELTEMI_ADMIN_TOKEN_FILE to let somebody see more than health and readiness"

log: Any = structlog.get_logger("meltemi")


@asynccontextmanager
async def serve_admin(
    plane: ControlPlane,
    host: str,
    port: int,
    security: AdminSecurity | None = None,
    health: Callable[[], ReplicaHealth] | None = None,
) -> AsyncGenerator[int]:
    """Serve while the context lasts; gives the port.

    Raises:
        OSError: the address is taken. ValueError: a file of tokens or of TLS cannot be used.
    """
    security = security or AdminSecurity()
    if security.tokens is not None:
        read_tokens(security.tokens)
    pages = application(plane, security.tokens, closed=security.closed(host), health=health)
    config = _config(pages, security)
    if security.closed(host):
        log.warning("admin.closed", admin=f"{host}:{port}", next_step=CLOSED)
    elif not (is_loopback(host) or config.is_ssl):
        log.warning("admin.plaintext", admin=f"{host}:{port}")
    async with listening(config, host, port) as bound:
        reloading = asyncio.create_task(_reload(config, security)) if config.is_ssl else None
        try:
            yield bound
        finally:
            if reloading is not None:
                reloading.cancel()


def _config(pages: ASGIApp, security: AdminSecurity) -> uvicorn.Config:
    config = quiet(pages, ssl_certfile=security.certificate, ssl_keyfile=security.key)
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"the admin page's certificate {security.certificate} with the key {security.key} "
            f"cannot be used: {error.strerror or error}; write a PEM chain and the unencrypted "
            "PEM key of its first certificate"
        ) from error
    return config


async def _reload(config: uvicorn.Config, security: AdminSecurity) -> None:
    """Let new connections have what the files hold now; what is wrong stays out."""
    assert config.ssl is not None
    assert security.certificate is not None
    while True:
        await asyncio.sleep(RELOAD)
        try:
            config.ssl.load_cert_chain(security.certificate, security.key, password="")
        except OSError as error:
            log.error(  # noqa: TRY400  # the sentence says it all
                "certificate.refused", error=f"{security.certificate}: {error.strerror or error}"
            )
