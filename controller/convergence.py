"""How long a change takes to be everywhere: from its arrival until a proxy has accepted it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from meltemi.xds.session import Acked, Nacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meltemi.xds.session import Event, Session
    from meltemi.xds.stream import Stream


class _Behind(NamedTuple):
    """A stream that has not accepted everything, and when the oldest of that arrived."""

    session: Session[Any]
    since: float


class Convergence:
    """Watches the streams that a change concerns. ``observe`` hears the seconds of each."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._behind: dict[int, _Behind] = {}

    def published(self, streams: Iterable[Stream], arrived: float) -> None:
        """A change that arrived then was handed to these streams; it may not concern all."""
        for stream in streams:
            if stream.number not in self._behind and not stream.session.settled:
                self._behind[stream.number] = _Behind(stream.session, arrived)

    def said(self, stream: int, event: Event, now: float) -> None:
        """Something happened on a stream."""
        if not self._behind or not isinstance(event, Acked | Nacked):
            return
        behind = self._behind.get(stream)
        if behind is None or not behind.session.settled:
            return
        del self._behind[stream]
        if isinstance(event, Acked):
            self._observe(now - behind.since)

    def closed(self, stream: int) -> None:
        """A stream has ended."""
        self._behind.pop(stream, None)
