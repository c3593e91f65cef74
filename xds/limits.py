"""What a peer may take of the server: time, room and number."""

from __future__ import annotations

from dataclasses import dataclass

STREAMS_PER_CONNECTION = 100
"""HTTP/2 lets the server say so, and peers wait by themselves; an Envoy needs one."""

PREPARING = 1.0
"""Seconds after which a stream no longer counts as being prepared: who reads slowly must not keep
others waiting.
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is served. Times in seconds.

    ``streams`` are in all, ``streams_per_peer`` those of one identity, or of one address where
    there are no identities. ``groups`` are kinds of proxies, each of which is compiled for itself.

    ``preparing`` streams get their first configuration at once; ``waiting`` more wait in line.

    ``request_bytes`` is the size of a request, ``names`` what one stream may ask for by name, all
    types together, ``request_rate`` how many requests a second are read from one stream.

    ``first_request`` is how long a peer may take to say its first word, ``write`` to read a
    response, ``keepalive`` how long it may be silent before it is asked whether it is there; it
    then has a third of that to answer.

    ``age``: a stream ends after about that long (a tenth more or less), so that proxies spread over
    replicas; after twice as long where it was sent nothing yet, or where clusters linger that the
    proxy could not speak of; 0 is never. ``grace``: a stopping server takes no longer.
    """

    streams: int = 10_000
    streams_per_peer: int = 2_000
    groups: int = 2_000
    preparing: int = 100
    waiting: int = 2_000
    request_bytes: int = 32 * 1024 * 1024
    names: int = 200_000
    request_rate: float = 100.0
    first_request: float = 15.0
    write: float = 60.0
    keepalive: float = 30.0
    age: float = 1800.0
    grace: float = 10.0


class LimitError(Exception):
    """A peer wants more than it may have: RESOURCE_EXHAUSTED. ``limit`` is a field of ``Limits``,
    the text is for the peer.
    """

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit
