"""The xDS engine as the product runs it, on resources that it is told: no compiler, no rules."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from benchmarks.xds.world import ROUTE
from meltemi.protocols.registry import load
from meltemi.protocols.types import type_table
from meltemi.xds.group import Group
from meltemi.xds.server import AdsServer
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from meltemi.xds.credentials import MutualTls
    from meltemi.xds.peer import Peer
    from meltemi.xds.resource import Resource
    from meltemi.xds.wire import Node


class Engine:
    """A group for each ``node.cluster``, up to ``scopes`` of them, each with its own snapshot."""

    def __init__(self, resources: Sequence[Resource], scopes: int, tls: MutualTls | None) -> None:
        self._groups = {
            f"scope-{number}": Group(Snapshot.of(resources)) for number in range(scopes)
        }
        self._server = AdsServer(type_table([*load().route_types, ROUTE]), self._join, Status())
        self._server.ready = True
        self._tls = tls

    @asynccontextmanager
    async def serve(self, address: str) -> AsyncGenerator[int]:
        """Listen on ``host:port`` while the context lasts; gives the port."""
        async with self._server.serve(address, self._tls) as port:
            yield port

    def publish(self, changed: Resource) -> None:
        """Set a resource for everybody."""
        for group in self._groups.values():
            if group.snapshot.get(changed.key) != changed:
                snapshot = group.snapshot.replace({changed.key: changed})
                group.publish(snapshot, {changed.key})

    async def _join(self, node: Node, _: Peer) -> Group:
        return self._groups[node.cluster]
