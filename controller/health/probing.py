"""Connects to ports, to see who is there."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING

from meltemi.controller.health.ports import Probed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meltemi.controller.health.ports import Port

PATIENCE_S = 3.0
"""Seconds for somebody on this machine to answer."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client begins (RFC 9113, 3.4): with its settings, which are those of the protocol."""

_SETTINGS = 4
_HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def probe(port: Port) -> Probed:
    """Who listens there, or whether somebody could."""
    try:
        async with asyncio.timeout(PATIENCE_S), _connected(port) as (reader, writer):
            return await _greeted(port, reader, writer)
    except ConnectionRefusedError:
        return _opened(port)
    except TimeoutError:
        return Probed("foreign", f"no answer in {PATIENCE_S:g} s")
    except ssl.SSLError as refused:
        return Probed("foreign", f"no TLS: {refused.reason or refused}")
    except socket.gaierror as unknown:
        return Probed("closed", str(unknown.strerror))
    except (OSError, EOFError, asyncio.LimitOverrunError) as refused:
        return Probed("foreign", str(refused) or type(refused).__name__)


@asynccontextmanager
async def _connected(
    port: Port,
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host = _reached(port.host)
    context = _anybody() if port.tls else None
    reader, writer = await asyncio.open_connection(host, port.port, ssl=context)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _anybody() -> ssl.SSLContext:
    """Whose certificate it is does not matter to who looks whether there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def _reached(host: str) -> str:
    """Where a server of all addresses is found on this machine."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


async def _greeted(
    port: Port, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Probed:
    session = writer.get_extra_info("ssl_object")
    if port.option in {"xds", "token-xds"} and session is not None:
        # More would need a certificate, or a token.
        spoken = session.selected_alpn_protocol()
        return Probed("served") if spoken == "h2" else Probed("foreign", f"it speaks {spoken}")
    if port.option == "webhook":
        return Probed("served")
    if port.option == "admin":
        writer.write(_HEALTH)
        await reader.readuntil(b"HTTP/1.1 200 ")
        await reader.readuntil(b"\r\n\r\nok\n")
        return Probed("served")
    writer.write(_PREFACE)
    frame = await reader.readexactly(9)
    good = frame[3] == _SETTINGS
    return Probed("served") if good else Probed("foreign", "it does not speak HTTP/2")


def _opened(port: Port) -> Probed:
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    try:
        socket.create_server((port.host, port.port), family=family).close()
    except OSError as refused:
        return Probed("closed", refused.strerror or str(refused))
    return Probed("free")
