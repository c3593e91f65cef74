"""What a peer may take of the server: time, room and number."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a peer may take: to say the first word, and to read a response.

    ``stop``: how long a stopping server waits for writes that are under way.
    """

    first_request: float = 15.0
    write: float = 60.0
    stop: float = 5.0
