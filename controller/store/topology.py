"""Where the Nodes of a cluster are, and which services have endpoints on which of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from meltemi.controller.store.objects import NOWHERE

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    from meltemi.controller.store.objects import Node
    from meltemi.protocols.model import Locality

HostKey = tuple[str, str]
"""(namespace, host) of a service."""


class Locate(Protocol):
    """Where an endpoint is: the name of its Node, and the ``zone`` that it states itself."""

    def __call__(self, node: str, zone: str = "") -> Locality: ...


class Topology:
    """Localities of Nodes by name, and the services that were told one.

    A Node of which a service has asked counts although there is none: it may come later.
    """

    def __init__(self) -> None:
        self._localities: dict[str, Locality] = {}
        self._on: defaultdict[str, set[HostKey]] = defaultdict(set)
        # Tuples: there is one for every service, and a set takes nine times as much.
        self._nodes: dict[HostKey, tuple[str, ...]] = {}

    def put(self, node: Node) -> Set[HostKey]:
        """A Node is now this; answers the services whose endpoints may differ now."""
        self._localities[node.name] = node.locality
        return self._on.get(node.name, frozenset())

    def drop(self, node: Node) -> Set[HostKey]:
        """A Node is gone; answers the same."""
        self._localities.pop(node.name, None)
        return self._on.get(node.name, frozenset())

    def locality(self, node: str, zone: str = "") -> Locality:
        """What ``Locate`` says. Of an unknown Node the zone is all that is known."""
        known = self._localities.get(node, NOWHERE)
        return known if zone in {"", known.zone} else replace(known, zone=zone)

    def depend(self, key: HostKey, nodes: Iterable[str]) -> None:
        """A service has endpoints on these Nodes, and on no others."""
        before, now = self._nodes.pop(key, ()), tuple(sorted(nodes))
        for node in before:
            self._on[node].discard(key)
        for node in now:
            self._on[node].add(key)
        for node in before:
            if not self._on[node]:
                del self._on[node]
        if now:
            self._nodes[key] = now
