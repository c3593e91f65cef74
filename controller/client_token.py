"""How a standalone Envoy shows Meltemi its service account token.

By Envoy's ``google_grpc``: it reads the file anew for each stream, so that a token that is replaced
needs no watch, in every version. Injecting a credential into ``envoy_grpc`` came later than the
oldest Envoy that is served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.controller.proto_json import Json

_PLUGIN = "envoy.grpc_credentials.file_based_metadata"
_CONFIG = "type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig"

_ARGUMENTS: Mapping[str, int] = {
    # gRPC's own limit of 4 MB is less than the clusters of a large mesh.
    "grpc.max_receive_message_length": -1,
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    # As envoy_grpc does, and not after up to two minutes.
    "grpc.initial_reconnect_backoff_ms": 500,
    "grpc.max_reconnect_backoff_ms": 5_000,
}
"""``grpc/impl/channel_arg_names.h``."""


@dataclass(frozen=True, slots=True)
class ClientToken:
    """Paths on Envoy's machine: its token, and the authorities that sign the server's certificate.
    That must be for ``server_name``, a host name or an address.
    """

    token: str
    server_ca: str
    server_name: str


def token_service(token: ClientToken, host: str, port: int, name: str) -> dict[str, Json]:
    """A ``GrpcService`` of the control plane; ``name`` stands in Envoy's statistics."""
    plugin: Json = {
        "@type": _CONFIG,
        "secret_data": {"filename": token.token},
        "header_key": "authorization",
        "header_prefix": "Bearer ",
    }
    arguments: dict[str, Json] = {key: {"int_value": each} for key, each in _ARGUMENTS.items()}
    if token.server_name != host:
        arguments["grpc.ssl_target_name_override"] = {"string_value": token.server_name}
    return {
        "google_grpc": {
            "target_uri": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "stat_prefix": name,
            "channel_credentials": {
                "ssl_credentials": {"root_certs": {"filename": token.server_ca}}
            },
            "credentials_factory_name": _PLUGIN,
            "call_credentials": [{"from_plugin": {"name": _PLUGIN, "typed_config": plugin}}],
            "channel_args": {"args": arguments},
        }
    }
