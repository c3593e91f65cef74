"""Kafka: a listener from which clients learn of the brokers, and a way to each of the brokers.

A client asks any broker for the addresses of all, and then goes to each of them by itself. So it
stays with the proxy only if what it is told are the proxy's addresses: either the brokers advertise
them, or kafka_broker writes them into the answers.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy

from meltemi.protocols._pb import kafka_broker_pb2 as pb
from meltemi.protocols.api import Attribute, Chain, Compiled, Emitted, Engine, Scope
from meltemi.protocols.envoy import network_filter
from meltemi.protocols.foreign import KAFKA_BROKER, foreign_filter
from meltemi.protocols.guard import is_ip
from meltemi.protocols.naming import ClusterName, stat_prefix
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envoy_data_plane.envoy.config.listener.v3 import Filter

    from meltemi.protocols.api import SocketAddress
    from meltemi.protocols.model import Kafka as Cluster
    from meltemi.protocols.model import KafkaBroker, Ref

_TCP_PROXY = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_TLS_INSPECTOR = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"

BROKER_FILTER = Engine("kafka_broker", frozenset({KAFKA_BROKER, _TCP_PROXY}), splits=False)
PASSED = Engine("tcp_proxy", frozenset({_TCP_PROXY}), splits=False)
PASSED_BY_NAME = Engine(
    "tcp_proxy_sni", frozenset({_TCP_PROXY, _TLS_INSPECTOR}), tls=True, splits=False
)

BROKER_ATTEMPTS = 2
"""Hosts that a connection tries: when a broker moves, both of its addresses are there at first."""


class Kafka:
    """Connections to brokers; what is inside is looked at where the proxy has kafka_broker."""

    name = "kafka"
    attributes: Mapping[str, Attribute] = {}
    engines = (BROKER_FILTER, PASSED, PASSED_BY_NAME)

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        """A chain to the service's cluster; one for each server name where clients speak TLS."""
        cluster = scope.service.kafka
        if cluster is None:
            return Compiled(_filters(scope, engine, None))
        if engine is not BROKER_FILTER and (cluster.allowed or cluster.denied):
            return Compiled(locked=True, problems=(_unenforced(cluster, engine),))
        is_bootstrap = scope.service.host == cluster.host
        problems = tuple(detours(scope, cluster, engine)) if is_bootstrap else ()
        if not engine.tls:
            return Compiled(_filters(scope, engine, cluster), problems=problems)
        if not is_bootstrap:
            return Compiled()  # the bootstrap's listener has the chain
        hosts = frozenset(broker.host for broker in cluster.brokers)
        return Compiled(chains=tuple(_chains(scope, cluster)), hosts=hosts, problems=problems)


def server_name(cluster: Cluster, broker: KafkaBroker) -> str:
    """By which name of its TLS a client asks for this broker."""
    return f"broker-{broker.id}.{cluster.domain}"


def entrance(scope: Scope, broker: KafkaBroker) -> SocketAddress | None:
    """Where clients find the proxy for this broker; None where no single address says that."""
    found = scope.entrances.get(broker.entrance, ())
    return next((at for at in found if not ip_address(at[0]).is_unspecified), None)


def rewrites(scope: Scope, cluster: Cluster, engine: Engine) -> bool:
    """Whether the proxy itself tells clients its own addresses for all brokers."""
    return engine is BROKER_FILTER and all(entrance(scope, broker) for broker in cluster.brokers)


def _filters(scope: Scope, engine: Engine, cluster: Cluster | None) -> tuple[Emitted[Filter], ...]:
    route = scope.routes[0]
    passed = _tcp_proxy(scope.names.stat_prefix, route.cluster, _attempts(scope), route.route.ref)
    if engine is not BROKER_FILTER:
        return (passed,)
    settings = pb.KafkaBroker(stat_prefix=scope.names.stat_prefix)
    if cluster is not None:
        settings.api_keys_allowed.extend(cluster.allowed)
        settings.api_keys_denied.extend(cluster.denied)
        if rewrites(scope, cluster, engine):
            rules = settings.id_based_broker_address_rewrite_spec.rules
            rules.extend(_rewrite_rules(scope, cluster))
    looked_at = foreign_filter("envoy.filters.network.kafka_broker", settings)
    return Emitted(looked_at, origins=(cluster.ref,) if cluster else ()), passed


def _rewrite_rules(scope: Scope, cluster: Cluster) -> Iterator[pb.IdBasedBrokerRewriteRule]:
    for broker in cluster.brokers:
        if (at := entrance(scope, broker)) is not None:
            yield pb.IdBasedBrokerRewriteRule(id=broker.id, host=at[0], port=at[1])


def _attempts(scope: Scope) -> int:
    """Enough to get past every dead broker where any will do."""
    cluster = scope.service.kafka
    if cluster is None or scope.service.host != cluster.host:
        return BROKER_ATTEMPTS
    return max(BROKER_ATTEMPTS, len(cluster.brokers))


def _chains(scope: Scope, cluster: Cluster) -> Iterator[Chain]:
    """One for any broker, and one for each."""
    route = scope.routes[0]
    attempts, ref = _attempts(scope), route.route.ref
    any_broker = _tcp_proxy(scope.names.stat_prefix, route.cluster, attempts, ref)
    yield Chain((cluster.domain,), (any_broker,))
    for broker in cluster.brokers:
        prefix = stat_prefix(broker.host, broker.port)
        to = str(ClusterName(broker.host, broker.port))
        only = _tcp_proxy(prefix, to, BROKER_ATTEMPTS, cluster.ref)
        yield Chain((server_name(cluster, broker),), (only,))


def _tcp_proxy(prefix: str, cluster: str, attempts: int, ref: Ref) -> Emitted[Filter]:
    proxy = TcpProxy(stat_prefix=prefix, cluster=cluster, max_connect_attempts=attempts)
    message = network_filter("envoy.filters.network.tcp_proxy", proxy)
    return Emitted(message, frozenset({cluster}), (ref,))


def _unenforced(cluster: Cluster, engine: Engine) -> Problem:
    why = (
        "TLS is passed through, and nothing in it can be looked at"
        if engine.tls
        else "an Envoy of this build lacks the filter kafka_broker, which looks at them"
    )
    return Problem(
        "MEL0420",
        cluster.ref.at("spec.apiKeys"),
        f"{why}: {cluster.host} and its brokers get no listener and no endpoints",
        "use listeners with portBase and an Envoy with contrib's filters, or remove apiKeys and "
        "let the brokers' own ACLs decide",
    )


def detours(scope: Scope, cluster: Cluster, engine: Engine) -> Iterator[Problem]:
    """Brokers that send clients elsewhere than to these proxies; then every call succeeds, and
    nothing passes them.
    """
    if rewrites(scope, cluster, engine):
        return
    for broker in cluster.brokers:
        if broker.advertised is None:
            continue
        if broker.bypasses or not _leads_here(scope, cluster, broker):
            yield _detour(scope, cluster, broker)
    if silent := [str(broker.id) for broker in cluster.brokers if broker.advertised is None]:
        yield Problem(
            "MEL0422",
            cluster.ref.at("spec.advertised"),
            f"nobody wrote what the brokers {', '.join(silent)} advertise; if it is not the "
            "proxy's address for each of them, all calls succeed and pass the proxy by",
            "write their advertised.listeners into spec.advertised, or see whether the proxy "
            "counts connections on each broker's listener (tcp.outbound|...downstream_cx_total)",
        )


def _leads_here(scope: Scope, cluster: Cluster, broker: KafkaBroker) -> bool:
    """As far as it can be known: without listeners, and of most names, nothing is."""
    found = scope.entrances.get(broker.entrance, ())
    if not found or broker.advertised is None:
        return True
    host, port = broker.advertised
    if port not in {number for _, number in found}:
        return False
    if cluster.domain:
        return host.rstrip(".").lower() == server_name(cluster, broker)
    if not is_ip(host):
        return True
    addresses = [ip_address(address) for address, _ in found]
    return ip_address(host) in addresses or any(each.is_unspecified for each in addresses)


def _detour(scope: Scope, cluster: Cluster, broker: KafkaBroker) -> Problem:
    host, port = broker.advertised or ("", 0)
    # What is wrong for every proxy is told in the same words for all of them.
    found = () if broker.bypasses else scope.entrances.get(broker.entrance, ())
    named = server_name(cluster, broker) if cluster.domain else ""
    here = " or ".join(_joined(named or address, number) for address, number in found)
    return Problem(
        "MEL0421",
        broker.ref,
        f"broker {broker.id} sends clients to {_joined(host, port)}"
        f"{', its own address' if broker.bypasses else ''}: there they pass these proxies by, and "
        "every call succeeds nevertheless",
        f"let it advertise {here or 'the address that the proxy has for it'} on a listener for "
        "clients, or use an Envoy with contrib's kafka_broker, which changes what clients are told",
    )


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
