"""How following a kind goes."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """How a reflector fares. DENIED and STALE are worth a look; others pass, or may be so."""

    STARTING = "has not been read yet"
    FOLLOWING = "is followed"
    ABSENT = "is unknown to the API server"
    DENIED = "may not be read"
    FAILING = "cannot be read now"
    STALE = "could not be read for a while"
