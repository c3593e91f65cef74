"""The plugin contract: what a protocol is given, and what it answers.

A plugin is one file, found by the entry point group ``meltemi.protocols``. The frame
(``compiler.py``) chooses the engine, resolves destinations, gives the names and builds listeners,
clusters and assignments. A plugin turns routes into its filter and its route table, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from meltemi.protocols.model import MatchKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import betterproto2
    from envoy_data_plane.envoy.config.listener.v3 import Filter

    from meltemi.protocols.model import (
        Application,
        LoadBalancer,
        Matcher,
        Mirror,
        Port,
        RedisSettings,
        RedisUpstream,
        Ref,
        Route,
        Service,
    )
    from meltemi.protocols.problem import Problem
    from meltemi.xds.resource import TypeUrl

ANY_OTHER = "*"
"""In a mapping of attributes: every name that is not listed (attachments, headers)."""

SocketAddress = tuple[str, int]
"""An IP address, or where somebody resolves it a name, and a port."""

STRINGS = frozenset(MatchKind) - {MatchKind.RANGE}


def accepts(name: str, matcher: Matcher) -> str | None:
    """An engine without bounds of its own (``Engine.rejects``)."""
    return None


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a match may name. ``description`` is one sentence for users."""

    description: str


@dataclass(frozen=True, slots=True)
class Engine:
    """One way in which Envoy can serve the protocol.

    ``requires``: type URLs (without prefix) that a proxy must list in ``Node.extensions``;
    ``uses``: those that it would use, but does without.
    ``since``: the oldest Envoy minor version. ``route_type``: the type of its dynamic route table,
    if it has one. ``matches``: which kinds of matcher it can express per attribute (``*`` = all
    other names); an attribute that is absent here cannot be matched. ``exclusive``: attributes that
    cannot stand in one match. ``inverts``: attributes whose match can be inverted (None = all).
    ``rejects``: a sentence when a name or value is beyond what its configuration can hold.
    ``folds_case``: it compares the names of other attributes without case. ``applications``: it
    serves only ports that are named ``tcp-metaprotocol-<application>``. ``on_leave``: it serves
    only where a setting or the service allows it by name. ``tls``: it serves only ports whose TLS
    is passed through. The rest says which policies of a route it has.
    """

    name: str
    requires: frozenset[str]
    uses: frozenset[str] = frozenset()
    since: tuple[int, int] = (0, 0)
    route_type: TypeUrl = ""
    matches: Mapping[str, frozenset[MatchKind]] = field(
        default_factory=dict[str, frozenset[MatchKind]]
    )
    exclusive: tuple[frozenset[str], ...] = ()
    inverts: frozenset[str] | None = None
    rejects: Callable[[str, Matcher], str | None] = accepts
    folds_case: bool = False
    applications: bool = False
    on_leave: bool = False
    tls: bool = False
    splits: bool = True
    mirrors: bool = False
    timeouts: bool = False
    retries: bool = False
    mutations: bool = False
    removes_prefix: bool = False


@dataclass(frozen=True, slots=True)
class Capability:
    """A class of proxies that can be served alike.

    ``extensions`` holds only the type URLs that some engine asks for, ``version`` is Envoy's
    (major, minor).
    """

    extensions: frozenset[str]
    version: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Target:
    """What a group of proxies has in common, as far as it changes a plugin's answer; never a
    single proxy.

    ``rtds``: the bootstrap has the runtime layer ``meltemi``.
    """

    capability: Capability
    rtds: bool = False


@dataclass(frozen=True, slots=True)
class Credentials:
    """A resolved user name and password. ``missing`` when the reference leads nowhere: the plugin
    must then lock, never open.
    """

    password: str = field(default="", repr=False)
    username: str = field(default="", repr=False)
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """The names that this port's resources carry (``naming.py``)."""

    cluster: str
    route_config: str
    stat_prefix: str


@dataclass(frozen=True, slots=True)
class ResolvedMirror:
    """A mirror, the cluster that it goes to and the runtime key of its percentage."""

    mirror: Mirror
    cluster: str
    runtime_key: str


@dataclass(frozen=True, slots=True)
class ResolvedRoute:
    """A route that the engine can serve, with the cluster that its requests go to.

    Several destinations are behind one split cluster already. Policies that the engine lacks have
    been taken out and reported.
    """

    route: Route
    cluster: str
    mirrors: tuple[ResolvedMirror, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """Everything that one compilation may look at.

    ``routes`` is never empty: without a rule it is one route to the service's own cluster.
    ``rule`` is the object that the routes came from, if any. ``application`` says how the port's
    protocol is decoded, where an ApplicationProtocol does. ``auth`` are the credentials that
    clients of a Redis port must present, ``upstream_auth`` those that Envoy presents; ``upstream``
    says how it talks to the service, ``sharded`` which hosts of its routes are Redis Clusters.
    ``entrances`` says where the proxies listen for the services that this one sends its clients to
    (the brokers of a Kafka), by host; an address may be all of a machine's. Without addresses they
    do not listen.
    """

    service: Service
    port: Port
    routes: tuple[ResolvedRoute, ...]
    target: Target
    names: Names
    rule: Ref | None = None
    application: Application | None = None
    redis: RedisSettings | None = None
    auth: Credentials | None = None
    upstream_auth: Credentials | None = None
    upstream: RedisUpstream | None = None
    sharded: frozenset[str] = frozenset()
    entrances: Mapping[str, tuple[SocketAddress, ...]] = field(
        default_factory=dict[str, "tuple[SocketAddress, ...]"]
    )


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """An active check of every endpoint. Times in seconds; ``checker`` is the message of a custom
    health checker, a TCP connect otherwise.
    """

    timeout: float = 0.5
    interval: float = 1.0
    name: str = ""
    checker: betterproto2.Message | None = None


@dataclass(frozen=True, slots=True)
class ClusterType:
    """An extension by which a cluster finds its endpoints itself. It begins with those that the
    service has, or with ``seeds`` instead; it balances load itself, too.
    """

    name: str
    config: betterproto2.Message
    seeds: tuple[SocketAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What the protocol wants of the clusters of its service.

    ``health_check`` None only for protocols whose filter ejects dead endpoints itself; a split
    has one in any case. ``protocol_options`` goes to ``typed_extension_protocol_options``.
    """

    health_check: HealthCheck | None = field(default_factory=HealthCheck)
    protocol_options: Mapping[str, betterproto2.Message] = field(
        default_factory=dict[str, "betterproto2.Message"]
    )
    load_balancer: LoadBalancer | None = None
    buffer_limit: int = 16 * 1024 * 1024
    type: ClusterType | None = None


Message = TypeVar("Message", bound="betterproto2.Message")


@dataclass(frozen=True, slots=True)
class Emitted(Generic[Message]):
    """A message with the clusters that it names and the objects that it came from."""

    message: Message
    clusters: frozenset[str] = frozenset()
    origins: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """Filters for the connections whose TLS names one of these servers."""

    server_names: tuple[str, ...]
    filters: tuple[Emitted[Filter], ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a plugin answers. New abilities become new fields.

    ``filters``: the chain's network filters, the terminal one last. ``chains``, instead: a chain
    per server name, other connections are closed. ``hosts``: other services whose clusters they
    name. ``route_table``: the message of ``engine.route_type``, named
    ``scope.names.route_config``. ``runtime``: keys of the runtime layer with integer values (or
    fractions of a million). ``locked``: what must hold for every request cannot be enforced here,
    such as an authorization, so the service's clusters get no endpoints.
    """

    filters: tuple[Emitted[Filter], ...] = ()
    chains: tuple[Chain, ...] = ()
    hosts: frozenset[str] = frozenset()
    route_table: Emitted[betterproto2.Message] | None = None
    cluster: ClusterOptions = ClusterOptions()
    runtime: Mapping[str, float] = field(default_factory=dict[str, float])
    locked: bool = False
    problems: tuple[Problem, ...] = ()


class ProtocolPlugin(Protocol):
    """One layer-7 protocol. ``compile`` is pure: same scope, same result, no I/O."""

    @property
    def name(self) -> str:
        """The protocol token of a port name."""
        ...

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """What a match may name."""
        ...

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Best first. TCP is what remains; the frame adds it."""
        ...

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        """The filter and route table that serve the scope."""
        ...
