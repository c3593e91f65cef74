"""Messages of builds of Envoy that envoy-data-plane does not know: contrib's and Aeraki's.

They are compiled from ``proto/`` under packages of our own; this is what Envoy calls them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.listener.v3 import Filter

from meltemi.protocols._pb.kafka_broker_pb2 import KafkaBroker
from meltemi.protocols._pb.meta_protocol_proxy_pb2 import LocalRateLimit, MetaProtocolProxy
from meltemi.protocols.encode import pack_foreign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

AERAKI = "aeraki.meta_protocol_proxy"
META_PROTOCOL_PROXY = f"{AERAKI}.v1alpha.MetaProtocolProxy"
KAFKA_BROKER = "envoy.extensions.filters.network.kafka_broker.v3.KafkaBroker"

TYPES: Mapping[str, type[Message]] = {
    KAFKA_BROKER: KafkaBroker,
    META_PROTOCOL_PROXY: MetaProtocolProxy,
    f"{AERAKI}.filters.local_ratelimit.v1alpha.LocalRateLimit": LocalRateLimit,
}
"""What may stand in an ``Any``, by Envoy's name of the type."""

_NAMES: Mapping[type[Message], str] = {cls: name for name, cls in TYPES.items()}


def foreign_filter(name: str, message: Message) -> Filter:
    """A filter of a listener's chain. Raises KeyError for a class that is not in ``TYPES``."""
    return Filter(name=name, typed_config=pack_foreign(_NAMES[type(message)], message))
