"""The ports of a replica, and what may come to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.controller.manifests.wish import Wish


class Port(NamedTuple):
    """``service`` is that of the Service, ``container`` that of the process."""

    service: int
    container: int


PORTS: Mapping[str, Port] = {
    "xds": Port(18000, 18000),
    "token-xds": Port(18001, 18001),
    "admin": Port(18080, 18080),
    "webhook": Port(443, 9443),
}
"""By name, which is also the option of ``meltemi serve``."""


def ports(wish: Wish) -> tuple[str, ...]:
    """Names of those that are wanted."""
    wanted = {"xds": True, "token-xds": wish.tokens, "admin": True, "webhook": wish.webhook}
    return tuple(name for name in PORTS if wanted[name])
