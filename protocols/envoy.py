"""The constructors that plugins and the frame share: small messages in their usual shape."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterCommonLbConfigLocalityWeightedLbConfig,
    ClusterCustomClusterType,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    ClusterEdsClusterConfig,
    ClusterLbPolicy,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    HealthCheck,
    HealthCheckTcpHealthCheck,
    SocketAddress,
    TrafficDirection,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    Listener,
    ListenerFilter,
)
from envoy_data_plane.envoy.extensions.filters.listener.tls_inspector.v3 import TlsInspector
from envoy_data_plane.envoy.type.v3 import (
    FractionalPercent,
    FractionalPercentDenominatorType,
    Percent,
)

from meltemi.protocols import model
from meltemi.protocols.encode import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    import betterproto2
    from google.protobuf.message import Message as OfficialMessage

    from meltemi.protocols.api import Chain, ClusterOptions

UNLIMITED = 2**32 - 1
"""No limit of Envoy's own: its default of 1,024 requests fails real clients under load."""

CONNECT_TIMEOUT = 5.0
"""Seconds, when no DestinationRule says otherwise."""

_LOAD_BALANCERS = {
    model.LoadBalancer.ROUND_ROBIN: ClusterLbPolicy.ROUND_ROBIN,
    model.LoadBalancer.LEAST_REQUEST: ClusterLbPolicy.LEAST_REQUEST,
    model.LoadBalancer.RANDOM: ClusterLbPolicy.RANDOM,
    model.LoadBalancer.MAGLEV: ClusterLbPolicy.MAGLEV,
}


def seconds(value: float) -> timedelta:
    """A Duration."""
    return timedelta(seconds=value)


def fraction(percentage: float) -> FractionalPercent:
    """A percentage to four decimals."""
    return FractionalPercent(
        numerator=round(percentage * 10_000),
        denominator=FractionalPercentDenominatorType.MILLION,
    )


def ads() -> ConfigSource:
    """The proxy's one ADS stream as the source of a resource."""
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def extension(name: str, message: betterproto2.Message) -> TypedExtensionConfig:
    """An extension with its configuration."""
    return TypedExtensionConfig(name=name, typed_config=pack(message))


def network_filter(name: str, message: betterproto2.Message, *more: OfficialMessage) -> Filter:
    """A filter of a listener's chain; ``more`` as in ``encode.pack``."""
    return Filter(name=name, typed_config=pack(message, *more))


def listener(
    name: str,
    address: str,
    port: int,
    chains: Sequence[Chain],
    *,
    stat_prefix: str,
    buffer_limit: int,
) -> Listener:
    """An outbound listener. ``buffer_limit`` in bytes bounds a message's size."""
    named = any(chain.server_names for chain in chains)
    return Listener(
        name=name,
        address=Address(socket_address=SocketAddress(address=address, port_value=port)),
        stat_prefix=stat_prefix,
        traffic_direction=TrafficDirection.OUTBOUND,
        per_connection_buffer_limit_bytes=buffer_limit,
        listener_filters=[tls_inspector()] if named else [],
        filter_chains=[filter_chain(name, chain) for chain in chains],
    )


def filter_chain(listener: str, chain: Chain) -> FilterChain:
    """A chain, named after its first server or, where it has none, after its listener."""
    filters = [emitted.message for emitted in chain.filters]
    if not chain.server_names:
        return FilterChain(name=listener, filters=filters)
    match = FilterChainMatch(server_names=[*chain.server_names])
    return FilterChain(name=chain.server_names[0], filter_chain_match=match, filters=filters)


def tls_inspector() -> ListenerFilter:
    """What reads the server name from the begin of a TLS connection, without ending the TLS."""
    name = "envoy.filters.listener.tls_inspector"
    return ListenerFilter(name=name, typed_config=pack(TlsInspector()))


def cluster(
    name: str,
    policy: model.TrafficPolicy,
    options: ClusterOptions,
    *,
    weighted: bool,
    resolves: bool = False,
) -> Cluster:
    """A cluster whose endpoints come over ADS, or whose endpoints' names the proxy ``resolves``;
    those are still to be put in. ``weighted``: localities carry weights (a split). A type of the
    protocol's own comes before both, and before the policy's load balancer.
    """
    checks = health_checks(options)
    found = Cluster(
        name=name,
        eds_cluster_config=None if resolves else ClusterEdsClusterConfig(eds_config=ads()),
        dns_lookup_family=(
            ClusterDnsLookupFamily.V4_PREFERRED if resolves else ClusterDnsLookupFamily.AUTO
        ),
        connect_timeout=seconds(policy.connect_timeout or CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes=options.buffer_limit,
        lb_policy=_load_balancer(policy, options),
        health_checks=checks,
        # A checked endpoint that EDS removes would otherwise keep its traffic while it answers.
        ignore_health_on_host_removal=bool(checks),
        circuit_breakers=_circuit_breakers(policy),
        outlier_detection=_outlier_detection(policy.outlier_detection),
        common_lb_config=ClusterCommonLbConfig(
            # Zero: never spread a dead destination's requests over hosts known to be dead.
            healthy_panic_threshold=Percent(value=0.0),
            # Health changes are otherwise batched for a second of failed calls.
            update_merge_window=timedelta(0),
            locality_weighted_lb_config=(
                ClusterCommonLbConfigLocalityWeightedLbConfig() if weighted else None
            ),
        ),
        typed_extension_protocol_options={
            key: pack(message) for key, message in sorted(options.protocol_options.items())
        },
    )
    if options.type is not None:
        config = pack(options.type.config)
        found.cluster_type = ClusterCustomClusterType(name=options.type.name, typed_config=config)
        # Else servers that do not answer would hold back every listener when the proxy starts.
        found.wait_for_warm_on_init = False
    else:
        found.type = ClusterDiscoveryType.STRICT_DNS if resolves else ClusterDiscoveryType.EDS
    return found


def _load_balancer(policy: model.TrafficPolicy, options: ClusterOptions) -> ClusterLbPolicy:
    if options.type is not None:
        return ClusterLbPolicy.CLUSTER_PROVIDED
    return _LOAD_BALANCERS[
        policy.load_balancer or options.load_balancer or model.LoadBalancer.ROUND_ROBIN
    ]


def health_checks(options: ClusterOptions) -> list[HealthCheck]:
    """The active check, or none."""
    if (check := options.health_check) is None:
        return []
    return [
        HealthCheck(
            timeout=seconds(check.timeout),
            interval=seconds(check.interval),
            # Envoy's default of 60 s would also delay the second check of a busy new cluster.
            no_traffic_interval=seconds(check.interval),
            healthy_threshold=1,
            unhealthy_threshold=1,
            tcp_health_check=HealthCheckTcpHealthCheck(),
        )
    ]


def _circuit_breakers(policy: model.TrafficPolicy) -> CircuitBreakers:
    limit = CircuitBreakersThresholds(
        max_connections=policy.max_connections or UNLIMITED,
        max_pending_requests=UNLIMITED,
        max_requests=UNLIMITED,
        max_retries=UNLIMITED,
    )
    return CircuitBreakers(thresholds=[limit])


def _outlier_detection(wanted: model.OutlierDetection | None) -> OutlierDetection | None:
    if wanted is None:
        return None
    return OutlierDetection(
        consecutive_5xx=wanted.consecutive_errors or None,
        # Zero errors is Istio's way to say never.
        enforcing_consecutive_5xx=0 if wanted.consecutive_errors == 0 else None,
        interval=None if wanted.interval is None else seconds(wanted.interval),
        base_ejection_time=(
            None if wanted.base_ejection_time is None else seconds(wanted.base_ejection_time)
        ),
        max_ejection_percent=wanted.max_ejection_percent,
    )
