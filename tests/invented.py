"""A stream that nobody opened, for tests of what becomes of what streams say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from meltemi.testing.resources import RULES
from meltemi.xds.dialect import Delta
from meltemi.xds.session import Session
from meltemi.xds.snapshot import Snapshot

if TYPE_CHECKING:
    from meltemi.xds.stream import Stream


class _Invented(NamedTuple):
    """What is asked of a stream that is in a group."""

    number: int
    session: Session[Any]


def invented(number: int, node: str = "proxy") -> Stream:
    """Its proxy asked for nothing yet."""
    session = Session(Delta(), RULES, Snapshot(), node_id=node, identifier="", drain=0.0)
    return cast("Stream", _Invented(number, session))
