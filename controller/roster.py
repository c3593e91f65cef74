"""Who is connected, put together when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meltemi.controller.proxies import Member
from meltemi.controller.unsupported import unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.fleet import Fleet
    from meltemi.controller.unsupported import Unsupported
    from meltemi.protocols.compiler import Compiler
    from meltemi.protocols.group import GroupKey
    from meltemi.protocols.model import Mesh
    from meltemi.xds.session import Session


class Roster:
    """The streams of a fleet, with what the compiler found out about their groups."""

    def __init__(self, fleet: Fleet, compiler: Compiler, mesh: Mesh) -> None:
        self._fleet = fleet
        self._compiler = compiler
        self._mesh = mesh
        self._unsupported: dict[GroupKey, tuple[Unsupported, ...]] = {}

    def members(self) -> dict[int, Member]:
        """The open streams by number."""
        return {
            stream.number: Member(key, stream.session, streams.snapshot, self._lacking)
            for key, streams in self._fleet
            for stream in streams
        }

    def sessions(self) -> Iterator[tuple[int, Session[Any]]]:
        """The open sessions, by the number of their stream."""
        return ((each.number, each.session) for _, streams in self._fleet for each in streams)

    def recompiled(self) -> None:
        """The groups may be others now."""
        self._unsupported.clear()

    def _lacking(self, key: GroupKey) -> tuple[Unsupported, ...]:
        if (known := self._unsupported.get(key)) is None:
            known = unsupported(self._compiler.group(key), self._mesh)
            self._unsupported[key] = known
        return known
