"""What time it is, for people to read. It can jump: nothing decides by it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """In RFC 3339, as times of the Kubernetes API are written, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
