"""What encoding costs: ours, betterproto2's own and official protobuf, in one run.

    python -m benchmarks.encode [--repeats N]

The three encoders take turns, so that a busy machine slows all of them alike; the ratio of the
minima is the result. Official messages (xds-protos, upb) are parsed from the same bytes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from importlib import import_module
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    HealthCheck,
    HealthCheckTcpHealthCheck,
    Locality,
    SocketAddress,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.network.thrift_proxy.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.thrift_proxy.v3 import (
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    ThriftFilter,
    ThriftProxy,
    Trds,
)
from google.protobuf import descriptor_pool, message_factory

from meltemi.protocols.assignments import Host, LocalityEndpoints, encode_assignment
from meltemi.protocols.encode import encode, pack
from meltemi.protocols.model import Locality as Place

if TYPE_CHECKING:
    from collections.abc import Callable

    import betterproto2

CALLS = 20
ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds per call, of several repeats."""

    samples: tuple[float, ...]

    def __str__(self) -> str:
        return f"{min(self.samples) * 1e6:.1f} / {median(self.samples) * 1e6:.1f}"

    def over(self, other: Times) -> float:
        """How often the other fits into this, by the fastest repeats."""
        return min(self.samples) / min(other.samples)


def address(ip: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=ip, port_value=port))


def listener() -> Listener:
    router = ThriftFilter(name="envoy.filters.thrift.router", typed_config=pack(Router()))
    proxy = ThriftProxy(
        stat_prefix="outbound|9090||cart.shop.svc.cluster.local",
        trds=Trds(config_source=ADS, route_config_name="cart.shop.svc.cluster.local:9090"),
        thrift_filters=[router],
    )
    thrift = Filter(name="envoy.filters.network.thrift_proxy", typed_config=pack(proxy))
    return Listener(
        name="outbound|9090||cart.shop.svc.cluster.local",
        address=address("10.96.0.7", 9090),
        filter_chains=[FilterChain(filters=[thrift])],
        per_connection_buffer_limit_bytes=16 * 1024 * 1024,
    )


def cluster() -> Cluster:
    check = HealthCheck(
        timeout=timedelta(milliseconds=500),
        interval=timedelta(seconds=1),
        no_traffic_interval=timedelta(seconds=1),
        unhealthy_threshold=2,
        healthy_threshold=1,
        tcp_health_check=HealthCheckTcpHealthCheck(),
    )
    return Cluster(
        name="outbound|9090|v1|cart.shop.svc.cluster.local",
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=ADS),
        connect_timeout=timedelta(seconds=1),
        per_connection_buffer_limit_bytes=16 * 1024 * 1024,
        health_checks=[check],
        ignore_health_on_host_removal=True,
        common_lb_config=ClusterCommonLbConfig(update_merge_window=timedelta(0)),
    )


def routes() -> RouteConfiguration:
    return RouteConfiguration(
        name="cart.shop.svc.cluster.local:9090",
        routes=[
            Route(
                match=RouteMatch(method_name=f"method{number}"),
                route=RouteAction(cluster=f"outbound|9090|v{number}|cart.shop.svc.cluster.local"),
            )
            for number in range(10)
        ],
    )


def assignment(hosts: int) -> ClusterLoadAssignment:
    endpoints = [
        LbEndpoint(
            endpoint=Endpoint(address=address(f"10.0.0.{number}", 9090)), load_balancing_weight=1
        )
        for number in range(hosts)
    ]
    locality = LocalityLbEndpoints(locality=Locality(region="eu"), lb_endpoints=endpoints)
    return ClusterLoadAssignment(cluster_name="cart", endpoints=[locality])


def official(message: betterproto2.Message) -> Callable[[], bytes]:
    """Serialize the same message with xds-protos."""
    for module in (
        "config.cluster.v3.cluster",
        "config.listener.v3.listener",
        "extensions.filters.network.thrift_proxy.v3.route",
    ):
        import_module(f"envoy.{module}_pb2")
    packed = pack(message)
    name = packed.type_url.removeprefix("type.googleapis.com/")
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    return message_factory.GetMessageClass(descriptor).FromString(packed.value).SerializeToString


def measure(encoders: dict[str, Callable[[], object]], repeats: int) -> dict[str, Times]:
    samples: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(repeats):
        for name, call in encoders.items():
            start = perf_counter()
            for _ in range(CALLS):
                call()
            samples[name].append((perf_counter() - start) / CALLS)
    return {name: Times(tuple(found)) for name, found in samples.items()}


def compare(message: betterproto2.Message, repeats: int) -> None:
    encode(message)  # compiles the encoders
    times = measure(
        {
            "ours": lambda: encode(message),
            "betterproto2": lambda: bytes(message),
            "protobuf": official(message),
        },
        repeats,
    )
    ours, slow, fast = times.values()
    print(
        f"{type(message).__name__:<22}{len(encode(message)):>6}{ours!s:^21}{slow!s:^21}{fast!s:^21}"
        f"{slow.over(ours):>18.0f}{ours.over(fast):>15.1f}"
    )


def build_assignments(repeats: int) -> None:
    for count in (20, 100):
        hosts = [Host(f"10.0.0.{number}", 9090) for number in range(count)]
        groups = [LocalityEndpoints(Place(region="eu"), None, hosts)]
        (times,) = measure({"": partial(encode_assignment, "cart", groups)}, repeats).values()
        print(f"encode_assignment, {count} hosts, from model to bytes: {times}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats: int = parser.parse_args().repeats
    print(f"µs per call, min / median of {repeats} x {CALLS}")
    titles = "".join(f"{title:^21}" for title in ("ours", "betterproto2", "protobuf"))
    print(f"{'message':<22}{'bytes':>6}{titles}{'betterproto2/ours':>18}{'ours/protobuf':>15}")
    for message in (listener(), cluster(), routes(), assignment(20)):
        compare(message, repeats)
    build_assignments(repeats)


if __name__ == "__main__":
    main()
