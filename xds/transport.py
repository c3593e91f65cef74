"""The limits in gRPC's own words, for what it decides before or beside us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.xds.limits import STREAMS_PER_CONNECTION

if TYPE_CHECKING:
    from meltemi.xds.limits import Limits

_PROXY_PINGS_MS = 5_000
_TURNING = 0.8
_TLS_FRAME = 4096


def channel_arguments(limits: Limits) -> tuple[tuple[str, int], ...]:
    """Arguments of a server (``grpc/impl/channel_arg_names.h``)."""
    keepalive = _milliseconds(limits.keepalive)
    silence = _milliseconds(limits.first_request)
    return (
        ("grpc.so_reuseport", 0),
        # Each TLS connection keeps buffers of its frames' size: 16 KiB unless told otherwise.
        ("grpc.tsi.max_frame_size", _TLS_FRAME),
        ("grpc.max_receive_message_length", limits.request_bytes),
        ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
        ("grpc.max_allowed_incoming_connections", limits.streams),
        # A connection that never speaks HTTP/2, and one that does but opens no stream.
        ("grpc.server_handshake_timeout_ms", silence),
        ("grpc.max_connection_idle_ms", silence),
        ("grpc.keepalive_time_ms", keepalive),
        ("grpc.keepalive_timeout_ms", max(1, keepalive // 3)),
        # An unanswered ping ends a connection after a minute, whatever the keepalive's timeout is.
        ("grpc.http2.ping_timeout_ms", max(1, keepalive // 3)),
        ("grpc.keepalive_permit_without_calls", 1),
        # Proxies send keepalives of their own; the default calls that abuse below five minutes.
        ("grpc.http2.min_ping_interval_without_data_ms", _PROXY_PINGS_MS),
        *_connection_age(limits),
    )


def _connection_age(limits: Limits) -> tuple[tuple[str, int], ...]:
    """A proxy whose stream ends would open the next one on the same connection, so to the same
    replica. An old connection is told to take no more streams (gRPC varies the moment by a tenth);
    those that it has go on until they end by themselves.
    """
    if not limits.age:
        return ()
    return (("grpc.max_connection_age_ms", _milliseconds(limits.age * _TURNING)),)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
