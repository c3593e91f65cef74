"""What a proxy asks for next: assignments of its clusters, route tables of its listeners."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, PREFIX, TypeUrl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class _Table(NamedTuple):
    """Where a filter of a listener says which route table it wants, and of which type."""

    message: Any
    field: str
    type_url: TypeUrl


def _table(filter_: str, message: str, field: str, table: str) -> tuple[str, _Table]:
    package = filter_.replace("/", ".")
    module = import_module(f"{package}.{filter_.split('/')[-2]}_pb2")
    return f"{PREFIX}{package}.{message}", _Table(getattr(module, message), field, PREFIX + table)


_FILTERS = "envoy/extensions/filters/network"
# xds-protos has no type hints.
_cluster: Any = import_module("envoy.config.cluster.v3.cluster_pb2").Cluster
_listener: Any = import_module("envoy.config.listener.v3.listener_pb2").Listener
_tables = dict(
    (
        _table(
            f"{_FILTERS}/http_connection_manager/v3",
            "HttpConnectionManager",
            "rds",
            "envoy.config.route.v3.RouteConfiguration",
        ),
        _table(
            f"{_FILTERS}/generic_proxy/v3",
            "GenericProxy",
            "generic_rds",
            "envoy.extensions.filters.network.generic_proxy.v3.RouteConfiguration",
        ),
        _table(
            f"{_FILTERS}/thrift_proxy/v3",
            "ThriftProxy",
            "trds",
            "envoy.extensions.filters.network.thrift_proxy.v3.RouteConfiguration",
        ),
    )
)


def wanted(type_url: TypeUrl, bodies: Iterable[bytes]) -> Iterator[tuple[TypeUrl, str]]:
    """Type and name of everything that resources of a type make a proxy ask for."""
    if type_url == CLUSTER:
        for body in bodies:
            cluster = _cluster.FromString(body)
            if cluster.HasField("eds_cluster_config"):
                yield ENDPOINT, cluster.eds_cluster_config.service_name or cluster.name
    elif type_url == LISTENER:
        for body in bodies:
            yield from _tables_of(_listener.FromString(body))


def _tables_of(listener: Any) -> Iterator[tuple[TypeUrl, str]]:
    chains = [*listener.filter_chains, listener.default_filter_chain]
    for config in (filter_.typed_config for chain in chains for filter_ in chain.filters):
        if (table := _tables.get(config.type_url)) is not None:
            message = table.message.FromString(config.value)
            if message.HasField(table.field):
                yield table.type_url, getattr(message, table.field).route_config_name
