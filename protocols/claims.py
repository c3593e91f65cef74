"""Which service has a listener address that several want.

Whoever has it keeps it: a service that is added never takes over a live listener. Among newcomers
the one whose (host, port) sorts first has it, so that a restart decides without history.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.protocols.piece import PieceKey

Address = tuple[str, int]
Port = tuple[str, int]
"""Host and port number of a service: what stays the same when its rule changes."""


@dataclass(slots=True)
class Claims:
    """The addresses of one group's listeners."""

    _wanted: dict[Address, dict[Port, PieceKey]] = field(
        default_factory=dict[Address, "dict[Port, PieceKey]"]
    )
    _holders: dict[Address, Port] = field(default_factory=dict[Address, Port])
    _stale: set[Address] = field(default_factory=set[Address])

    def claim(self, key: PieceKey) -> None:
        """A piece has listeners."""
        for address in key.listen:
            wanted = self._wanted.setdefault(address, {})
            if wanted.get(_port(key)) != key:
                wanted[_port(key)] = key
                self._stale.add(address)

    def leave(self, key: PieceKey) -> None:
        """A piece has none any more."""
        for address in key.listen:
            if self._wanted.get(address, {}).get(_port(key)) == key:
                del self._wanted[address][_port(key)]
                self._stale.add(address)

    def settle(self) -> frozenset[PieceKey]:
        """Decide, once everybody has claimed; gives the pieces for which something may differ."""
        concerned: set[PieceKey] = set()
        for address in self._stale:
            wanted = self._wanted[address]
            concerned.update(wanted.values())
            if not wanted:
                del self._wanted[address]
                self._holders.pop(address, None)
            elif self._holders.get(address) not in wanted:
                self._holders[address] = min(wanted)
        self._stale.clear()
        return frozenset(concerned)

    def holds(self, key: PieceKey, address: Address) -> bool:
        """Whether the piece has its listener there."""
        return self._holders.get(address) == _port(key)

    def clashes(self) -> Iterator[tuple[Address, Port, PieceKey]]:
        """Addresses with who has them and each one that does not get them."""
        for address, wanted in self._wanted.items():
            for port in sorted(wanted):
                if (holder := self._holders[address]) != port:
                    yield address, holder, wanted[port]


def _port(key: PieceKey) -> Port:
    return key.host, key.port
