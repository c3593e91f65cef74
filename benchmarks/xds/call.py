"""One bidirectional gRPC call on a TCP connection of its own: whole messages in and out, as bytes.

h2 speaks HTTP/2; the flow-control windows are as large as Envoy's, so that no reader is slow by
accident. A thousand of these cost a fraction of as many grpc.aio channels, which would measure
themselves on a machine of two cores.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

if TYPE_CHECKING:
    from collections.abc import Callable

STREAM = 1
WINDOW = 2**28
"""Bytes; Envoy's default for a stream and for a connection."""

_DEFAULT_WINDOW = 65_535
_PREFIX = 5  # of a message: whether it is compressed, and four bytes of length


class Call(asyncio.Protocol):
    """A call of ``method`` (``/package.Service/Method``). ``received`` gets each message,
    ``ended`` the gRPC status (or what else ended it) once.
    """

    def __init__(
        self, method: str, received: Callable[[bytes], None], ended: Callable[[str], None]
    ) -> None:
        self._method = method
        self._received = received
        self._ended: Callable[[str], None] | None = ended
        config = H2Configuration(header_encoding=None, validate_inbound_headers=False)
        self._http = H2Connection(config)
        self._transport: asyncio.Transport | None = None
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._status = "no status"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the call; messages may follow."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._http.initiate_connection()
        self._http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self._http.increment_flow_control_window(WINDOW - _DEFAULT_WINDOW)
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": self._method,
            ":authority": "benchmark",
            "content-type": "application/grpc",
            "te": "trailers",
        }
        self._http.send_headers(STREAM, [*headers.items()])
        self._flush()

    def send(self, message: bytes) -> None:
        """Send a message, or as much of it now as the peer has room for."""
        self._outgoing += b"\0" + len(message).to_bytes(4) + message
        self._flush()

    def close(self) -> None:
        """Hang up, as a proxy that restarts does; ``ended`` is not called any more."""
        self._ended = None
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes of the connection."""
        try:
            events = self._http.receive_data(data)
        except ProtocolError as error:  # such as frames behind a GOAWAY
            self._hang_up(str(error))
            return
        for event in events:
            match event:
                case DataReceived(data=chunk, flow_controlled_length=size):
                    assert chunk is not None
                    assert size is not None
                    self._incoming += chunk
                    self._http.acknowledge_received_data(size, STREAM)
                case ResponseReceived() | TrailersReceived():
                    found = dict(event.headers or ())
                    if status := found.get(b"grpc-status"):
                        self._status = b" ".join((status, found.get(b"grpc-message", b""))).decode()
                case StreamEnded() | StreamReset():
                    self._end()
                case ConnectionTerminated(error_code=code, additional_data=why):
                    self._hang_up(f"GOAWAY {code} {(why or b'').decode()}")
                    return
                case _:
                    pass
        self._deliver()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if exc is not None:
            self._status = str(exc)
        self._end()

    def _hang_up(self, status: str) -> None:
        self._status = status
        self._end()
        self.close()

    def _end(self) -> None:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self._status)

    def _deliver(self) -> None:
        while len(self._incoming) >= _PREFIX:
            end = _PREFIX + int.from_bytes(self._incoming[1:_PREFIX])
            if len(self._incoming) < end:
                return
            message = bytes(memoryview(self._incoming)[_PREFIX:end])
            del self._incoming[:end]
            self._received(message)

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        while self._outgoing:
            room = self._http.local_flow_control_window(STREAM)
            size = min(len(self._outgoing), room, self._http.max_outbound_frame_size)
            if size <= 0:
                break
            self._http.send_data(STREAM, bytes(self._outgoing[:size]))
            del self._outgoing[:size]
        if data := self._http.data_to_send():
            self._transport.write(data)
