"""What proxies cannot do of what is in their scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meltemi.protocols.sight import look

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.protocols.group import Group
    from meltemi.protocols.model import Mesh, Ref

NO_ENGINE = "MEL0501"

ORIGINS = 20
"""How many ports are named for a protocol; there may be thousands."""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A protocol that proxies have no engine for: the ports are served as TCP. ``origins`` are the
    first of them.
    """

    protocol: str
    reason: str
    origins: tuple[Ref, ...]


def unsupported(group: Group, mesh: Mesh) -> tuple[Unsupported, ...]:
    """By protocol, as the compiler found it for the group."""
    reasons: dict[str, str] = {}
    origins: dict[str, list[Ref]] = {}
    for protocol, reason, about in sorted(_lacks(group, mesh)):
        reasons.setdefault(protocol, reason)
        origins.setdefault(protocol, []).append(about)
    return tuple(
        Unsupported(protocol, reason, tuple(origins[protocol][:ORIGINS]))
        for protocol, reason in reasons.items()
    )


def _lacks(group: Group, mesh: Mesh) -> Iterator[tuple[str, str, Ref]]:
    for key in group.full:
        piece = group.piece(key)
        lacking = [each for each in piece.problems if each.code == NO_ENGINE] if piece else []
        if not lacking:
            continue
        sight = look(mesh, key.host, group.key.namespace)
        port = sight.service.port(key.port) if sight else None
        if port is not None:
            yield from ((port.protocol, each.cause, each.about) for each in lacking)
