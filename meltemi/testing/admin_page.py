"""One GET from a server's admin port on loopback."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meltemi.testing.ports import Address


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    body: bytes


async def get(address: Address, target: str, timeout_s: float = 10.0) -> Page:
    """Fetch ``target`` (path and query). Raises OSError when nobody answers properly.

    The standard library's client in a thread: it reads chunked bodies and, unlike urllib, never
    looks for a proxy in the environment.
    """
    return await asyncio.to_thread(_get, address, target, timeout_s)


def _get(address: Address, target: str, timeout_s: float) -> Page:
    connection = HTTPConnection(address.host, address.port, timeout=timeout_s)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        return Page(answer.status, answer.read())
    except HTTPException as error:
        raise ConnectionError(f"{address} does not speak HTTP: {error!r}") from error
    finally:
        connection.close()
