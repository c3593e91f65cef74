"""Streams that share a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from meltemi.xds.resource import Key
    from meltemi.xds.snapshot import Snapshot
    from meltemi.xds.stream import Stream


class Group:
    """Proxies that share a snapshot.

    ``drain``: seconds for which their connections use what was taken away. ``on_join`` hears of
    each stream before its first request is taken in. ``on_empty`` is called
    when the last stream has gone; the owner may then forget the group.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        *,
        drain: float = 600.0,
        on_join: Callable[[Stream], None] | None = None,
        on_empty: Callable[[Group], None] | None = None,
    ) -> None:
        self.drain = drain
        self._snapshot = snapshot
        self._on_join = on_join
        self._on_empty = on_empty
        self._streams: set[Stream] = set()

    @property
    def snapshot(self) -> Snapshot:
        """What the proxies should hold now."""
        return self._snapshot

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def __iter__(self) -> Iterator[Stream]:
        """The open streams."""
        return iter(self._streams)

    def publish(self, snapshot: Snapshot, changed: Collection[Key]) -> None:
        """Let all streams know. ``changed`` are all keys in which the snapshot differs.

        A session that raises ends its own stream, and no other.
        """
        self._snapshot = snapshot
        for stream in self._streams:
            try:
                stream.session.update(snapshot, changed)
            except Exception as error:  # a mistake of ours, met by the state of this one stream
                stream.fail(error)
            else:
                stream.wake.set()

    def add(self, stream: Stream) -> None:
        """A stream has joined; called by the server."""
        self._streams.add(stream)
        if self._on_join is not None:
            self._on_join(stream)

    def remove(self, stream: Stream) -> None:
        """A stream has left; called by the server."""
        self._streams.discard(stream)
        if not self._streams and self._on_empty is not None:
            self._on_empty(self)
