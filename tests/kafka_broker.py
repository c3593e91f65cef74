"""A kafka_broker filter, its bytes, and what they must mean to whoever reads them."""

from __future__ import annotations

from meltemi.protocols._pb.kafka_broker_pb2 import (
    IdBasedBrokerRewriteRule,
    IdBasedBrokerRewriteSpec,
    KafkaBroker,
)

BROKER = KafkaBroker(
    stat_prefix="outbound|9092||kafka.example",
    force_response_rewrite=True,
    id_based_broker_address_rewrite_spec=IdBasedBrokerRewriteSpec(
        rules=[
            IdBasedBrokerRewriteRule(id=1, host="one.example", port=19092),
            IdBasedBrokerRewriteRule(id=300, host="kafka.example", port=65535),
        ]
    ),
    api_keys_allowed=[0, 1, 3, 18, 32767],
    api_keys_denied=[20],
)

BYTES = bytes.fromhex(
    "0a1c6f7574626f756e647c393039327c7c6b61666b612e6578616d706c65"
    "1001"
    "1a2d"
    "0a130801120b"
    "6f6e652e6578616d706c65"
    "18949501"
    "0a1608ac02120d"
    "6b61666b612e6578616d706c65"
    "18ffff03"
    "2207"
    "00010312ffff01"
    "2a0114"
)

MEANING = {
    "statPrefix": "outbound|9092||kafka.example",
    "forceResponseRewrite": True,
    "idBasedBrokerAddressRewriteSpec": {
        "rules": [
            {"id": 1, "host": "one.example", "port": 19092},
            {"id": 300, "host": "kafka.example", "port": 65535},
        ]
    },
    "apiKeysAllowed": [0, 1, 3, 18, 32767],
    "apiKeysDenied": [20],
}
"""In proto-JSON of Envoy's own message."""
