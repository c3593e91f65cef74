"""A snapshot served to a real Envoy as it is, without files and without a compiler behind it."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meltemi.protocols.types import type_table
from meltemi.testing.envoy_binary import ENVOY_VERSION
from meltemi.testing.ports import LOOPBACK, Address
from meltemi.testing.standalone import standalone_envoy
from meltemi.xds.group import Group
from meltemi.xds.server import AdsServer
from meltemi.xds.session import Acked, Nacked
from tests import make

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meltemi.testing.envoy import Envoy
    from meltemi.xds.peer import Peer
    from meltemi.xds.session import Event
    from meltemi.xds.snapshot import Snapshot
    from meltemi.xds.wire import Node

BIND = f"127.{os.getpid() >> 8 & 127}.{os.getpid() & 255}.1"
"""A loopback address of this test run's own: ports that users write are free on it."""


@dataclass(slots=True)
class Answers:
    """What a proxy said to what it was sent."""

    acked: list[Acked] = field(default_factory=list[Acked])
    nacked: list[Nacked] = field(default_factory=list[Nacked])

    def opened(self, stream: int, node: Node, peer: Peer, now: float) -> None:
        """A stream has begun."""

    def said(self, stream: int, event: Event, now: float) -> None:
        """A response was answered."""
        match event:
            case Acked():
                self.acked.append(event)
            case Nacked():
                self.nacked.append(event)
            case _:
                pass

    def closed(self, stream: int) -> None:
        """A stream has ended."""


@dataclass(frozen=True, slots=True)
class Served:
    """An Envoy, what it said, and the group through which it can be told more."""

    envoy: Envoy
    answers: Answers
    group: Group


@asynccontextmanager
async def served(
    snapshot: Snapshot, *, sotw: bool = False, version: str = ENVOY_VERSION
) -> AsyncGenerator[Served]:
    """An Envoy that gets this snapshot, and refuses what it does not know in it; it is not
    necessarily ready.
    """
    answers, group = Answers(), Group(snapshot)

    async def join(_node: Node, _peer: Peer) -> Group:
        return group

    server = AdsServer(type_table(make.registry().route_types), join, answers)
    server.ready = True
    async with (
        server.serve(f"{LOOPBACK}:0") as port,
        standalone_envoy(
            Address(LOOPBACK, port),
            sotw=sotw,
            version=version,
            extra_args=["--reject-unknown-dynamic-fields"],
        ) as envoy,
    ):
        yield Served(envoy, answers, group)
