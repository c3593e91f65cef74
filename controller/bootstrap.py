"""The bootstrap of a standalone Envoy whose control plane is Meltemi."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from meltemi.controller.client_tls import secret_files, transport_socket
from meltemi.controller.client_token import token_service
from meltemi.controller.nodes import profile
from meltemi.controller.store.hosts import canonical_ip
from meltemi.protocols.naming import RUNTIME_LAYER
from meltemi.protocols.registry import Registry
from meltemi.xds.wire import Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.controller.client_tls import ClientTls
    from meltemi.controller.client_token import ClientToken
    from meltemi.controller.proto_json import Json

CLUSTER = "meltemi-xds"
"""The static cluster of the control plane."""

LOOPBACK = "127.0.0.1"

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_FIRST_OF_STAT = (
    r"assignment_|bind_errors|circuit_breakers\.|default\.total_match_count|health_check\."
    r"|http[12]\.[a-z_]+$|init_fetch_timeout|lb_|max_host_weight|membership_|original_dst_"
    r"|outlier_detection\.|(?:redis|thrift)\.upstream_|retry_|(?:client_)?ssl[._]|update_|upstream_"
    r"|version$|warming_"
)
"""How the names of a cluster's statistics go on after the name of the cluster."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a bootstrap is wanted for. ``metadata`` is ``node.metadata.meltemi``, where ``rtds`` is
    true unless it says otherwise. ``admin_port`` 0: Envoy takes a free one. ``tls`` or ``token``:
    without them the control plane is on plaintext.
    """

    host: str
    port: int
    id: str
    metadata: Mapping[str, Json] = field(default_factory=dict[str, "Json"])
    sotw: bool = False
    admin_port: int = 0
    tls: ClientTls | None = None
    token: ClientToken | None = None


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """The document, and the whole seconds that Envoy must be told to drain (``--drain-time-s``).
    ``files``: JSON that must be on Envoy's machine, by path.
    """

    document: dict[str, Json]
    drain: int
    files: Mapping[str, Json] = field(default_factory=dict[str, "Json"])


def bootstrap(wish: Wish) -> Bootstrap:
    """A bootstrap in proto-JSON of ``envoy.config.bootstrap.v3.Bootstrap``.

    Raises:
        NodeError: the metadata is not what docs/node-metadata.md says.
    """
    metadata: dict[str, Json] = {"rtds": True, **wish.metadata}
    node = Node(id=wish.id, cluster="meltemi", metadata={"meltemi": metadata})
    drain = profile(node, Registry(())).drain
    document: dict[str, Json] = {
        "node": {"id": node.id, "cluster": node.cluster, "metadata": {"meltemi": metadata}},
        "admin": {"address": _socket(LOOPBACK, wish.admin_port)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC" if wish.sotw else "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [_control_plane(wish)],
                # A node is 61 kB, and would be repeated in each request.
                "set_node_on_first_message_only": True,
            },
            "cds_config": _ads(),
            "lds_config": _ads(),
        },
        "static_resources": {"clusters": [] if wish.token else [_cluster(wish)]},
        "layered_runtime": {
            "layers": [
                {"name": "static", "static_layer": {}},
                {
                    "name": RUNTIME_LAYER,
                    "rtds_layer": {"name": RUNTIME_LAYER, "rtds_config": _ads()},
                },
                {"name": "admin", "admin_layer": {}},
            ]
        },
        "stats_config": _stats(),
    }
    return Bootstrap(document, ceil(drain), secret_files(wish.tls))


def _control_plane(wish: Wish) -> Json:
    """Envoy's own pauses before it connects again grow to 30 s: as long would a rule that was
    changed during an outage wait after it. They cannot be set where a token is used.
    """
    if wish.token:
        return token_service(wish.token, wish.host, wish.port, CLUSTER)
    pauses: Json = {"base_interval": "0.5s", "max_interval": "5s"}
    return {"envoy_grpc": {"cluster_name": CLUSTER, "retry_policy": {"retry_back_off": pauses}}}


def _ads() -> Json:
    return {"ads": {}, "resource_api_version": "V3"}


def _socket(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _cluster(wish: Wish) -> Json:
    host, port = wish.host, wish.port
    keepalive: Json = {"interval": "30s", "timeout": "10s"}
    cluster: dict[str, Json] = {
        "name": CLUSTER,
        "type": "STRICT_DNS" if canonical_ip(host) is None else "STATIC",
        # It includes the handshake: of all proxies at once, after an outage.
        "connect_timeout": "5s" if wish.tls else "1s",
        "load_assignment": {
            "cluster_name": CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(host, port)}}]}],
        },
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": keepalive}
                },
            }
        },
    }
    if wish.tls:
        cluster["transport_socket"] = transport_socket(wish.tls)
    return cluster


def _stats() -> Json:
    """Envoy's own rule ends a cluster's name at its first dot: every host would be a metric."""
    regex = rf"^cluster\.((.+?)\.)(?:{_FIRST_OF_STAT})"
    tags: list[Json] = [
        {"tag_name": "envoy.cluster_name", "regex": regex},
        {"tag_name": "envoy.http_conn_manager_prefix"},
        {"tag_name": "envoy.response_code_class"},
    ]
    # With all default tags its own rule for clusters would be applied as well.
    return {"use_all_default_tags": False, "stats_tags": tags}
