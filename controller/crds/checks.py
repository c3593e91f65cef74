"""What the API server refuses at once, beyond types: the mistakes that reject a whole object.

Objects of Aeraki's users are accepted as they are. Of Aeraki's kinds, only what its webhook, which
looked at MetaRouters alone, refused, or what broke Aeraki, is refused here; the decoder tells the
rest as findings.
"""

from __future__ import annotations

from meltemi.controller.crds.schema import Checks, Field, Rule
from meltemi.controller.crds.status import Condition, Status
from meltemi.controller.decode.application import ApplicationSpec
from meltemi.controller.decode.credentials import Auth, PlainAuth, SecretAuth
from meltemi.controller.decode.kafka import (
    DEFAULT_PORT,
    ApiKeys,
    ClusterSpec,
    Listeners,
    ServerNames,
)
from meltemi.controller.decode.kafka_keys import API_KEYS, MAX_API_KEY
from meltemi.controller.decode.metarouter import (
    AttributeMatch,
    KeyValue,
    Range,
    RouteMatch,
    RouterSpec,
    WeightedDestination,
    WrittenDestination,
    WrittenRoute,
)
from meltemi.controller.decode.redis import (
    DestinationSpec,
    Fault,
    RedisDestinationObject,
    RedisPool,
    RedisServiceObject,
    RedisTarget,
    ServiceSpec,
    Settings,
    TcpPool,
)
from meltemi.controller.decode.values import DURATION_PATTERN, Percent
from meltemi.controller.store.hosts import PATTERN

# The cost of CEL is counted at the longest lists that a schema allows. No object that fits into
# etcd and means something comes near these.
MOST_ROUTES = 4096
MOST_DESTINATIONS = 128
MOST_ATTRIBUTES = 64
MOST_API_KEYS = 1000
_LONGEST_HOST = 253
_LONGEST_DURATION = 64

_NAME = {"pattern": f"^{PATTERN}$", "maxLength": _LONGEST_HOST}
_HOST = {
    **_NAME,
    # The last label of an IPv4 address is a number; as a name's nobody has it.
    "allOf": [{"pattern": r"(^|\.)[^.]*[A-Za-z_-][^.]*\.?$"}],
}
_DURATION = {"pattern": f"^-?({DURATION_PATTERN})$"}
"""Aeraki could not read anything else. That it is no negative one, the decoder says."""

_TESTS = ("exact", "prefix", "suffix", "regex", "present", "range")

STATUS = Checks(
    fields={
        (Status, "conditions"): {
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
        (Condition, "last_transition_time"): {"format": "date-time"},
    }
)

META_ROUTER = Checks(
    rules={
        RouterSpec: (
            Rule(
                "(has(self.routes) && size(self.routes) > 0)"
                " || has(self.localRateLimit) || has(self.globalRateLimit)",
                "a MetaRouter needs routes or a rate limit: add a route, or delete the object",
                ".routes",
            ),
        ),
        WrittenRoute: (
            Rule(
                "size(self.route) < 2"
                " || self.route.map(to, has(to.weight) ? to.weight : 0).sum() == 100",
                "the weights of several destinations are shares of 100: make their sum 100",
                ".route",
            ),
            Rule(
                "!has(self.mirrorPercentage) || has(self.mirror)",
                "mirrorPercentage means nothing alone: add the mirror, or remove it",
                ".mirrorPercentage",
            ),
            Rule(
                f"!has(self.timeout) || (self.timeout.matches(r'^({DURATION_PATTERN})$')"
                " && duration(self.timeout) <= duration('8760h')"
                " && (duration(self.timeout) >= duration('1ms')"
                " || duration(self.timeout) == duration('0s')))",
                "a duration is a number and a unit such as 1.5s, from 1ms to a year",
                ".timeout",
            ),
        ),
        RouteMatch: (
            Rule(
                "!has(self.attributes) || self.attributes.all(name, name != '')",
                "an attribute's name is empty: name the attribute",
                ".attributes",
            ),
        ),
        AttributeMatch: (
            Rule(
                " + ".join(f"(has(self.{test}) ? 1 : 0)" for test in _TESTS) + " <= 1",
                f"{', '.join(_TESTS)} exclude each other: write one of them",
            ),
        ),
        Range: (
            Rule("self.start < self.end", "no number is in it: make start less than end", ".start"),
        ),
    },
    fields={
        (RouterSpec, "hosts"): {
            "minItems": 1,
            "maxItems": 1,
            "items": {"type": "string", **_HOST},
        },
        (RouterSpec, "routes"): {"maxItems": MOST_ROUTES},
        (RouteMatch, "attributes"): {"maxProperties": MOST_ATTRIBUTES},
        (WrittenRoute, "route"): {"minItems": 1, "maxItems": MOST_DESTINATIONS},
        (WrittenRoute, "timeout"): {"maxLength": _LONGEST_DURATION},
        (WeightedDestination, "weight"): {"maximum": 100},
        (WrittenDestination, "host"): _HOST,
        (KeyValue, "key"): {"minLength": 1},
    },
    required=frozenset({(WrittenRoute, "route")}),
)

APPLICATION_PROTOCOL = Checks(
    lenient=frozenset({(ApplicationSpec, "protocol"), (ApplicationSpec, "codec")})
)

_ONE_WAY = Rule(
    "!(has(self.secret) && has(self.plain))",
    "secret and plain are two passwords: write one of them",
)
_AUTH: frozenset[Field] = frozenset({(SecretAuth, "name"), (PlainAuth, "password")})

REDIS_SERVICE = Checks(
    rules={Auth: (_ONE_WAY,)},
    fields={
        (Settings, "op_timeout"): _DURATION,
        (Settings, "buffer_flush_timeout"): _DURATION,
        (Fault, "delay"): _DURATION,
    },
    stands_for={(Settings, "auth"): Auth},
    lenient=_AUTH.union(
        {
            (RedisServiceObject, "spec"),
            (ServiceSpec, "host"),
            (RedisTarget, "host"),
            (RedisTarget, "port"),
            (Percent, "value"),
        }
    ),
    nullable=frozenset({(Settings, "max_upstream_unknown_connections")}),
)

REDIS_DESTINATION = Checks(
    rules={Auth: (_ONE_WAY,)},
    fields={(TcpPool, "connect_timeout"): _DURATION},
    stands_for={(RedisPool, "auth"): Auth},
    lenient=_AUTH.union(
        {
            (RedisDestinationObject, "spec"),
            (DestinationSpec, "host"),
            (TcpPool, "max_connections"),
        }
    ),
)

_NAMES = ", ".join(f"'{name}'" for name in API_KEYS)
_BOOTSTRAP = (
    "(has(self.listeners.bootstrap) ? self.listeners.bootstrap : " + str(DEFAULT_PORT) + ")"
)


def _known(which: str) -> Rule:
    return Rule(
        f"!has(self.{which}) || self.{which}.all(key,"
        f" type(key) == int ? key >= 0 && key <= {MAX_API_KEY} : key in [{_NAMES}])",
        "that is no API key of Kafka: write its name, such as Produce, or its number",
        f".{which}",
    )


KAFKA_CLUSTER = Checks(
    rules={
        ClusterSpec: (
            Rule(
                "(has(self.brokers) && size(self.brokers) > 0) != has(self.statefulSet)",
                "brokers are either listed or Pods: write exactly one of brokers and statefulSet",
                ".brokers",
            ),
            Rule(
                "!has(self.listeners.portBase) || !has(self.brokers) || self.brokers.all(broker,"
                " broker.id + self.listeners.portBase >= 1"
                " && broker.id + self.listeners.portBase <= 65535"
                f" && broker.id + self.listeners.portBase != {_BOOTSTRAP})",
                "each broker's port is portBase + id: keep them from 1 to 65535, and not the port"
                " of bootstrap",
                ".listeners.portBase",
            ),
            Rule(
                "!has(self.listeners.portBase) || !has(self.statefulSet) ||"
                " (self.listeners.portBase >= 1"
                " && self.listeners.portBase + self.statefulSet.replicas <= 65536"
                f" && ({_BOOTSTRAP} < self.listeners.portBase"
                f" || {_BOOTSTRAP} >= self.listeners.portBase + self.statefulSet.replicas))",
                "each broker's port is portBase + number: keep them from 1 to 65535, and not the"
                " port of bootstrap",
                ".listeners.portBase",
            ),
        ),
        Listeners: (
            Rule(
                "has(self.portBase) != has(self.sni)",
                "clients need either a port for each broker or one port for all: write exactly one"
                " of portBase and sni",
            ),
            Rule(
                "!has(self.sni) || !has(self.bootstrap)",
                "with sni everything has one port: remove bootstrap, sni.port is the port",
                ".bootstrap",
            ),
        ),
        ApiKeys: (_known("allow"), _known("deny")),
    },
    fields={
        (ClusterSpec, "host"): _HOST,
        (ClusterSpec, "brokers"): {
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["id"],
        },
        # What is left of a host's length when a broker's name is put before it.
        (ServerNames, "domain"): _NAME | {"maxLength": _LONGEST_HOST - len("broker-2147483647.")},
        (ApiKeys, "allow"): {"minItems": 1, "maxItems": MOST_API_KEYS},
        (ApiKeys, "deny"): {"minItems": 1, "maxItems": MOST_API_KEYS},
    },
)
