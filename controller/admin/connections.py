"""How many connections a port has: nobody can take them all and keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

MOST = 64
"""Connections of the admin port at once. Descriptors for them are kept
(``controller.descriptors``).
"""


class Connection(H11Protocol):
    """When there are too many, the oldest goes that is not being answered: whoever opens
    connections and says nothing must not keep a kubelet from asking for health.
    """

    most: ClassVar[int] = MOST

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Of uvicorn, as soon as there is one, or its TLS is ready."""
        super().connection_made(transport)
        self._since = self.loop.time()
        others = [
            other
            for other in self.connections
            if isinstance(other, Connection) and not other.transport.is_closing()
        ]
        if len(others) > self.most:
            min(others, key=Connection._worth).transport.abort()

    def _worth(self) -> tuple[bool, float]:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # None before the first request
        return cycle is not None and not cycle.response_complete, self._since
