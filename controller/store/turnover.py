"""New hosts go in before old ones go out.

Envoy gives a new host no traffic before its first health check; when all hosts of a destination are
swapped at once, calls fail in between. So hosts that leave while others come stay for a moment. A
host that dies meanwhile is found by its health check, as always.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meltemi.protocols.model import Endpoint

Key = tuple[str, str]
"""(namespace, host) of a service."""


class Turnover(Mapping[Key, "tuple[Endpoint, ...]"]):
    """The endpoints of a mesh, with those that are on their way out. ``hold`` in seconds."""

    def __init__(self, endpoints: Mapping[Key, tuple[Endpoint, ...]], hold: float) -> None:
        self._endpoints = endpoints
        self._hold = hold
        self._known: dict[Key, tuple[Endpoint, ...]] = {}
        self._leaving: dict[Key, tuple[Endpoint, ...]] = {}
        self._until: dict[Key, float] = {}

    def __getitem__(self, key: Key) -> tuple[Endpoint, ...]:
        return (*self._endpoints[key], *self._leaving.get(key, ()))

    def __iter__(self) -> Iterator[Key]:
        return iter(self._endpoints)

    def __len__(self) -> int:
        return len(self._endpoints)

    def update(self, keys: Iterable[Key], now: float) -> None:
        """The endpoints of these services may have changed."""
        for key in keys:
            wanted = self._endpoints.get(key, ())
            known = self._known.pop(key, ())
            if wanted:
                self._known[key] = wanted
            here = {_where(endpoint) for endpoint in wanted}
            before = (*known, *self._leaving.pop(key, ()))
            gone = tuple(e for e in before if e.ready and _where(e) not in here)
            came = here - {_where(endpoint) for endpoint in before}
            # Hosts that were leaving already stay until their time: nobody else has come for them.
            if gone and (came or key in self._until) and wanted:
                self._leaving[key] = gone
                self._until.setdefault(key, now + self._hold)
            else:
                self._until.pop(key, None)

    def expire(self, now: float) -> frozenset[str]:
        """Let go of the hosts whose time is over; gives the services' hosts."""
        over = [key for key, until in self._until.items() if until <= now]
        for key in over:
            del self._until[key]
            del self._leaving[key]
        return frozenset(host for _, host in over)

    def deadline(self) -> float | None:
        """When ``expire`` is due next."""
        return min(self._until.values(), default=None)


def _where(endpoint: Endpoint) -> tuple[object, ...]:
    return endpoint.address, *sorted(endpoint.ports.items())
