"""Loopback ports: free ones for servers, and one on which nobody ever answers."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

LOOPBACK = "127.0.0.1"
TRIES = 100


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a server listens. Prints as ``host:port``."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


FREE = range(15_000, 32_000)
"""Below what Linux gives to outgoing connections, which may take any port above at any time."""


def free_ports(count: int) -> tuple[int, ...]:
    """Distinct TCP ports that were free on loopback a moment ago.

    All of them are held at once while choosing, so that they differ. A server that can bind port 0
    itself should: between this answer and its bind another process may take the port.
    """
    with ExitStack() as held:
        return tuple(held.enter_context(_free()).getsockname()[1] for _ in range(count))


def free_port() -> int:
    """One port as ``free_ports`` chooses it."""
    return free_ports(1)[0]


@contextmanager
def unanswered_address() -> Generator[Address]:
    """An address whose connections never open: no refusal, no answer, as behind a dead host.

    Linux drops the handshakes for a listening socket whose queue is full, so the queue is filled
    here. (A server that accepts and stays silent is another thing: a TCP check calls it healthy.)
    """
    with ExitStack() as held:
        listening = held.enter_context(_bound())
        listening.listen(0)
        host, port = listening.getsockname()
        while _connects(held.enter_context(socket.socket()), host, port):
            pass
        yield Address(host, port)


def _bound(port: int = 0) -> socket.socket:
    fresh = socket.socket()
    try:
        fresh.bind((LOOPBACK, port))
    except OSError:
        fresh.close()
        raise
    return fresh


def _free() -> socket.socket:
    """A socket on one of the free ports. Raises OSError when there is none."""
    for port in random.sample(FREE, TRIES):  # others choose at this moment, too
        with suppress(OSError):
            return _bound(port)
    return _bound()


def _connects(client: socket.socket, host: str, port: int) -> bool:
    client.settimeout(0.1)
    try:
        client.connect((host, port))
    except TimeoutError:
        return False
    return True
