"""What users ask for: services, rules and policies, free of Envoy and Kubernetes.

Standard library only, so that a mesh can be built in a REPL from memory. Every value is frozen;
a change is a new value.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Protocol = str
"""A plugin's name: ``dubbo``, ``thrift``, ``redis``, ``tcp``, ..."""

CONNECTIONS: Protocol = "tcp"
"""The protocol of ports into whose connections nobody looks."""


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """A place in a user's object. ``field`` is a path such as ``spec.routes[2].match``."""

    kind: str
    namespace: str
    name: str
    generation: int = 0
    field: str = ""

    def at(self, field: str) -> Ref:
        """The same object, another place in it."""
        return Ref(self.kind, self.namespace, self.name, self.generation, field)

    @property
    def object(self) -> Ref:
        """The object itself, whatever its generation: the identity to compare by."""
        return Ref(self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        where = (
            f"{self.kind} {self.namespace}/{self.name}"
            if self.namespace
            else f"{self.kind} {self.name}"
        )
        return f"{where} {self.field}" if self.field else where


class MatchKind(Enum):
    """How a value is compared; a regex matches the whole value (RE2)."""

    EXACT = "exact"
    PREFIX = "prefix"
    SUFFIX = "suffix"
    REGEX = "regex"
    PRESENT = "present"
    RANGE = "range"


@dataclass(frozen=True, slots=True)
class Matcher:
    """A test of one attribute.

    ``exact`` with an empty value accepts any value of a present attribute (Aeraki's semantics,
    which users rely on). ``start <= int(value) < end`` for a range. ``inverted`` negates the
    whole test: an absent attribute then matches.
    """

    kind: MatchKind
    value: str = ""
    start: int = 0
    end: int = 0
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a route sends requests. ``port`` 0 is the port that the route serves."""

    host: str
    port: int = 0
    subset: str = ""
    weight: int = 100


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of the traffic. ``percentage`` is 0 to 100."""

    destination: Destination
    percentage: float = 100.0
    exclude_reads: bool = False


@dataclass(frozen=True, slots=True)
class Mutation:
    """Set an attribute of the request or the response."""

    key: str
    value: str


class Layer(Enum):
    """What a route is about: the requests inside of connections, whole connections, or either as
    the port has it.
    """

    ANY = "any"
    REQUESTS = "requests"
    CONNECTIONS = "connections"


@dataclass(frozen=True, slots=True)
class Remark:
    """What is wrong with a route, to be told only where the route is used: its object may be meant
    for others. The fields are those of a problem.
    """

    code: str
    about: Ref
    cause: str
    next_step: str
    unserved: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One rule's line: the first route whose match holds decides.

    An empty match accepts everything. ``timeout`` in seconds, None = none written, so none
    applies. ``attempts`` is the number of retries after the first try. ``port`` is the only one
    that it is for, 0 = all of its layer.
    """

    ref: Ref
    name: str = ""
    match: Mapping[str, Matcher] = field(default_factory=dict[str, Matcher])
    destinations: tuple[Destination, ...] = ()
    mirrors: tuple[Mirror, ...] = ()
    request_mutations: tuple[Mutation, ...] = ()
    response_mutations: tuple[Mutation, ...] = ()
    timeout: float | None = None
    attempts: int = 0
    remove_prefix: bool = False
    """Redis: strip the matched key prefix before the command goes upstream."""
    flaw: str = ""
    """Why the route as written cannot be served by anybody; it has been reported already."""
    port: int = 0
    layer: Layer = Layer.ANY
    remarks: tuple[Remark, ...] = ()

    def concerns(self, port: Port) -> bool:
        """Whether it has a say on that port."""
        if self.port not in {0, port.number}:
            return False
        connections = port.protocol == CONNECTIONS
        return self.layer is Layer.ANY or connections is (self.layer is Layer.CONNECTIONS)


@dataclass(frozen=True, slots=True)
class Rule:
    """An object that routes a host: a MetaRouter, a RedisService's ``redis`` section or a
    VirtualService.

    ``created`` is the creationTimestamp in RFC 3339, empty when the source has none.
    ``export_to`` holds namespaces or ``*``; it decides which clients the rule applies to.
    """

    ref: Ref
    hosts: tuple[str, ...]
    routes: tuple[Route, ...]
    created: str = ""
    export_to: tuple[str, ...] = ("*",)

    def on(self, port: Port) -> Rule | None:
        """What it says of a port; None when all of its routes are about others."""
        routes = tuple(route for route in self.routes if route.concerns(port))
        if len(routes) == len(self.routes):
            return self
        return replace(self, routes=routes) if routes else None


@dataclass(frozen=True, slots=True)
class Locality:
    """Where an endpoint runs."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of a service: an IP address, or where the service's ``discovery`` takes one a
    DNS name. ``ports`` maps the service's port number to the endpoint's.

    ``also`` are its addresses of another IP version, for when ``address`` cannot be reached.
    """

    address: str
    ports: Mapping[int, int]
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    locality: Locality = Locality()
    weight: int = 1
    ready: bool = True
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a service. ``protocol`` is a plugin's name, ``application`` what follows
    ``tcp-metaprotocol-``; ``number`` is what clients connect to.

    ``tls``: clients speak TLS with the endpoints themselves, and a proxy sees nothing but the
    server name. ``listens`` False: the connections come through the listener of another service.
    """

    number: int
    name: str
    protocol: Protocol
    ref: Ref
    application: str = ""
    tls: bool = False
    listens: bool = True


@dataclass(frozen=True, slots=True)
class KafkaBroker:
    """A broker, which has a service of its own: ``host`` and ``port``.

    ``entrance`` is the host of the service whose listener takes the connections for it.
    ``advertised`` is where the broker tells clients to connect to, as host and port, None where
    nobody wrote that down; ``bypasses``: that is where the broker itself listens.
    """

    id: int
    host: str
    port: int
    entrance: str
    ref: Ref
    advertised: tuple[str, int] | None = None
    bypasses: bool = False


@dataclass(frozen=True, slots=True)
class Kafka:
    """A Kafka cluster: ``host`` is the service from which clients learn of the brokers.

    ``domain``, where there is one: clients say by the server name of their TLS which broker they
    want, ``broker-<id>.<domain>``, or ``domain`` itself for any. ``allowed`` and ``denied`` are
    numbers of Kafka's API keys; nothing allowed means that everything is.
    """

    ref: Ref
    host: str
    brokers: tuple[KafkaBroker, ...]
    domain: str = ""
    allowed: tuple[int, ...] = ()
    denied: tuple[int, ...] = ()


class Discovery(Enum):
    """How proxies find the addresses of a service's endpoints: they are told, or ask DNS for all
    that a name has, or for one at a time. The values are a ServiceEntry's ``resolution``.
    """

    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"


@dataclass(frozen=True, slots=True)
class Service:
    """A host that clients call. ``addresses`` are its virtual IPs, possibly none.

    ``export_to`` holds namespaces or ``*``. ``resp`` is the Redis protocol version that its
    clients speak (annotation ``meltemi.io/resp``). ``kafka`` is the cluster that it, or the broker
    behind it, belongs to; ``part_of`` the host of the service without which it is of no use.
    ``allows`` names engines that serve only where they may (annotation
    ``meltemi.io/allow-dubbo-proxy``). Unless ``discovery`` is STATIC, addresses of endpoints may be
    DNS names, which proxies resolve.
    """

    ref: Ref
    host: str
    namespace: str
    ports: tuple[Port, ...]
    addresses: tuple[str, ...] = ()
    export_to: tuple[str, ...] = ("*",)
    resp: int = 2
    kafka: Kafka | None = None
    part_of: str = ""
    allows: frozenset[str] = frozenset()
    discovery: Discovery = Discovery.STATIC

    def port(self, number: int) -> Port | None:
        """The port of that number."""
        return next((port for port in self.ports if port.number == number), None)


@dataclass(frozen=True, slots=True)
class Application:
    """An ApplicationProtocol: how meta-protocol-proxy decodes what ports of this name speak.

    ``protocol`` is what follows ``tcp-metaprotocol-``, ``codec`` the name of the codec's factory.
    """

    ref: Ref
    protocol: str
    codec: str
    created: str = ""


class LoadBalancer(Enum):
    """DestinationRule ``loadBalancer.simple``."""

    ROUND_ROBIN = "ROUND_ROBIN"
    LEAST_REQUEST = "LEAST_REQUEST"
    RANDOM = "RANDOM"
    MAGLEV = "MAGLEV"


@dataclass(frozen=True, slots=True)
class OutlierDetection:
    """Times in seconds; None leaves Envoy's default."""

    consecutive_errors: int | None = None
    interval: float | None = None
    base_ejection_time: float | None = None
    max_ejection_percent: int | None = None


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """How a cluster treats its endpoints. ``connect_timeout`` in seconds.

    ``tls`` is the mode as written; anything but ``DISABLE`` cannot be honoured yet, so the
    cluster gets no endpoints, never plaintext.
    """

    load_balancer: LoadBalancer | None = None
    max_connections: int | None = None
    connect_timeout: float | None = None
    outlier_detection: OutlierDetection | None = None
    tls: str = "DISABLE"


@dataclass(frozen=True, slots=True)
class Subset:
    """A named part of a service's endpoints. An empty ``policy`` inherits the service's."""

    name: str
    labels: Mapping[str, str]
    ref: Ref
    policy: TrafficPolicy | None = None


@dataclass(frozen=True, slots=True)
class DestinationPolicy:
    """A DestinationRule, for one host."""

    ref: Ref
    host: str
    policy: TrafficPolicy = TrafficPolicy()
    port_policies: Mapping[int, TrafficPolicy] = field(default_factory=dict[int, TrafficPolicy])
    subsets: tuple[Subset, ...] = ()
    created: str = ""
    export_to: tuple[str, ...] = ("*",)

    def subset(self, name: str) -> Subset | None:
        """The subset of that name."""
        return next((subset for subset in self.subsets if subset.name == name), None)


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Which keys of which Secret hold a user name and a password."""

    namespace: str
    name: str
    ref: Ref
    password_key: str = "password"
    username_key: str = "username"


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A Secret's values. Never printed."""

    ref: Ref
    data: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Secret({self.ref}, <redacted>)"


@dataclass(frozen=True, slots=True, repr=False)
class PlainCredentials:
    """A user name and password written in the object itself: accepted, with a warning."""

    ref: Ref
    password: str
    username: str = ""

    def __repr__(self) -> str:
        return f"PlainCredentials({self.ref}, <redacted>)"


@dataclass(frozen=True, slots=True)
class UnreadableCredentials:
    """Authentication was asked for in a way that cannot be read: nobody may pass."""

    ref: Ref


Credentials = SecretRef | PlainCredentials | UnreadableCredentials


@dataclass(frozen=True, slots=True)
class RedisFault:
    """``percentage`` is 0 to 100, ``delay`` in seconds; no commands means all."""

    kind: Literal["DELAY", "ERROR"]
    percentage: float = 100.0
    delay: float = 0.0
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """A RedisService: how its hosts are served. Times in seconds."""

    ref: Ref
    hosts: tuple[str, ...]
    auth: Credentials | None = None
    op_timeout: float = 60.0
    buffer_flush_timeout: float | None = None
    max_buffer_size_before_flush: int = 0
    max_upstream_unknown_connections: int | None = None
    case_insensitive: bool = False
    enable_command_stats: bool = False
    enable_hashtagging: bool = False
    enable_redirection: bool = False
    read_policy: str = "MASTER"
    faults: tuple[RedisFault, ...] = ()
    created: str = ""


@dataclass(frozen=True, slots=True)
class RedisUpstream:
    """A RedisDestination: how Envoy talks to a Redis host.

    ``cluster``: its endpoints are nodes of one Redis Cluster, not servers of their own. ``seeds``
    are names or addresses with ports, where Envoy asks for its nodes first instead of there.
    """

    ref: Ref
    host: str
    auth: Credentials | None = None
    policy: TrafficPolicy = TrafficPolicy()
    created: str = ""
    cluster: bool = False
    seeds: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Mesh:
    """Everything users want, by the name that others refer to it by.

    The mappings are read-only views of the store: they always show its latest state, so a change
    costs nothing that grows with the mesh. Candidates of one host are in order of precedence;
    which of them a client sees depends on its namespace (``visible``).

    ``services``, ``rules``, ``policies``, ``redis`` and ``upstreams`` are keyed by host,
    ``endpoints`` by (namespace, host) of the Service, ``secrets`` by (namespace, name),
    ``applications`` by protocol.
    """

    services: Mapping[str, tuple[Service, ...]] = field(
        default_factory=dict[str, tuple[Service, ...]]
    )
    endpoints: Mapping[tuple[str, str], tuple[Endpoint, ...]] = field(
        default_factory=dict[tuple[str, str], tuple[Endpoint, ...]]
    )
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict[str, tuple[Rule, ...]])
    policies: Mapping[str, tuple[DestinationPolicy, ...]] = field(
        default_factory=dict[str, tuple[DestinationPolicy, ...]]
    )
    redis: Mapping[str, tuple[RedisSettings, ...]] = field(
        default_factory=dict[str, tuple[RedisSettings, ...]]
    )
    upstreams: Mapping[str, tuple[RedisUpstream, ...]] = field(
        default_factory=dict[str, tuple[RedisUpstream, ...]]
    )
    secrets: Mapping[tuple[str, str], Secret] = field(default_factory=dict[tuple[str, str], Secret])
    applications: Mapping[str, tuple[Application, ...]] = field(
        default_factory=dict[str, tuple[Application, ...]]
    )


@dataclass(frozen=True, slots=True)
class Dirty:
    """What changed since the last compile: nothing else needs to be looked at.

    ``hosts``: a service, rule or policy of that host appeared, changed or went. ``endpoints``:
    only its endpoints did. ``secrets``: by (namespace, name). ``applications``: by protocol.
    """

    hosts: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    secrets: frozenset[tuple[str, str]] = frozenset()
    applications: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hosts or self.endpoints or self.secrets or self.applications)

    def __or__(self, other: Dirty) -> Dirty:
        return Dirty(
            self.hosts | other.hosts,
            self.endpoints | other.endpoints,
            self.secrets | other.secrets,
            self.applications | other.applications,
        )


def visible(export_to: tuple[str, ...], owner: str, client: str) -> bool:
    """Whether an object of namespace ``owner`` is visible to namespace ``client``.

    ``*`` everybody, ``.`` the owner's namespace, ``~`` nobody, else namespaces by name
    (Istio's exportTo).
    """
    return "*" in export_to or client in export_to or ("." in export_to and client == owner)
