"""Which resources a refusal's text names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

_ENVOY = re.compile(r"^Error adding/updating (?:listener|cluster)\(s\) ")
_ENVOY_SEPARATOR = re.compile(r"\n|, ")
_GRPC = re.compile(r"\bresource index \d+: ")


def named_in(message: str, *known: Container[str]) -> tuple[str, ...]:
    """The names, known to any of these, that the text accuses, in its order.

    Envoy writes ``Error adding/updating listener(s) A: why\\nB: why`` (clusters alike, with
    commas), and nothing that could be relied on for other types. gRPC's own client writes
    ``[resource index 0: A: why; resource index 3: B: why]``. Names may hold colons, and the
    reasons are free text: only what is known counts.
    """
    names = dict.fromkeys(part.partition(": ")[0] for part in _accusations(message))
    return tuple(name for name in names if any(name in each for each in known))


def _accusations(message: str) -> list[str]:
    """What begins with the name of a resource, perhaps."""
    envoy = _ENVOY.match(message)
    if envoy is not None:
        return _ENVOY_SEPARATOR.split(message[envoy.end() :])
    return _GRPC.split(message)[1:]
