"""Times as the API server takes them."""

from __future__ import annotations

from datetime import UTC, datetime


def micro_time(seconds: float) -> str:
    """Seconds since 1970 as a MicroTime of ``meta/v1``. It must have six digits: those that a
    whole second leaves out are missed.
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_of(seconds: float) -> str:
    """Seconds since 1970 as a Time of ``meta/v1``, which has whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
