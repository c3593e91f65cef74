"""What the servers serve: K clusters, their assignments of ten endpoints each, ten listeners and
ten route tables with K / 10 hosts each; and its changes.

The same bytes for every server: resources travel as JSON lines, to a Go process too.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    PREFIX,
    Key,
    Resource,
    TypeUrl,
    content_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ROUTE: TypeUrl = PREFIX + "envoy.config.route.v3.RouteConfiguration"
TABLES = 10
ENDPOINTS = 10

# Of xds-protos, which has no type hints.
_cluster: Any = import_module("envoy.config.cluster.v3.cluster_pb2")
_endpoint: Any = import_module("envoy.config.endpoint.v3.endpoint_pb2")
_listener: Any = import_module("envoy.config.listener.v3.listener_pb2")
_manager: Any = import_module(
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2"
)
_route: Any = import_module("envoy.config.route.v3.route_pb2")
_routes: Any = import_module("envoy.config.route.v3.route_components_pb2")

Line = dict[str, str | list[list[str]]]
"""A resource as JSON: ``type``, ``name``, ``body`` (base64), ``references``."""


@dataclass(frozen=True, slots=True)
class World:
    """Deterministic; ``number`` of a change decides what changes, and to what. At least ten
    ``services``.
    """

    services: int

    def resources(self) -> list[Resource]:
        """Everything, as it is at first."""
        indices = range(self.services)
        return [
            *(_cluster_resource(index) for index in indices),
            *(_assignment(index, 0) for index in indices),
            *(_listener_resource(table) for table in range(TABLES)),
            *(self._table(table, 0) for table in range(TABLES)),
        ]

    def write(self, path: Path) -> None:
        """Everything, a resource in each line."""
        with path.open("w") as file:
            file.writelines(json.dumps(to_line(each)) + "\n" for each in self.resources())

    def route(self, number: int) -> Resource:
        """One changed route in one table."""
        return self._table(number % TABLES, number)

    def endpoint(self, number: int) -> Resource:
        """One endpoint of one cluster with another address."""
        return _assignment(number % self.services, number)

    def _table(self, table: int, number: int) -> Resource:
        indices = range(table, self.services, TABLES)
        hosts = [_host(index) for index in indices]
        hosts[0].routes[0].name = f"change-{number}" if number else ""
        message = _route.RouteConfiguration(name=f"routes-{table}", virtual_hosts=hosts)
        references = frozenset(Key(CLUSTER, cluster_name(index)) for index in indices)
        return _resource(ROUTE, message.name, message, references)


def cluster_name(index: int) -> str:
    """Short, as in other people's benchmarks: a thousand of them are 15 kB of a request."""
    return f"cluster-{index:04}"


def to_line(resource: Resource) -> Line:
    """What ``from_line`` reads."""
    return {
        "type": resource.type_url,
        "name": resource.name,
        "body": b64encode(resource.body).decode(),
        "references": [list(key) for key in sorted(resource.references)],
    }


def from_line(line: Mapping[str, Any]) -> Resource:
    """Make a resource of what ``to_line`` wrote."""
    body = b64decode(line["body"])
    references = frozenset(Key(*key) for key in line["references"])
    return Resource(line["type"], line["name"], content_version(body), body, references)


def read(path: Path) -> Iterable[Mapping[str, Any]]:
    """The lines of a file."""
    with path.open() as file:
        for line in file:
            yield json.loads(line)


def _cluster_resource(index: int) -> Resource:
    name = cluster_name(index)
    message = _cluster.Cluster(
        name=name, type="EDS", eds_cluster_config={"eds_config": {"ads": {}}}
    )
    message.connect_timeout.seconds = 1
    return _resource(CLUSTER, name, message, frozenset({Key(ENDPOINT, name)}))


def _assignment(index: int, number: int) -> Resource:
    name = cluster_name(index)
    message = _endpoint.ClusterLoadAssignment(cluster_name=name)
    endpoints = message.endpoints.add()
    for host in range(ENDPOINTS):
        address = endpoints.lb_endpoints.add().endpoint.address.socket_address
        last = host + 1 if host or not number else 100 + number % 150
        address.address = f"10.{index >> 8}.{index & 255}.{last}"
        address.port_value = 8080
    return _resource(ENDPOINT, name, message)


def _listener_resource(table: int) -> Resource:
    manager = _manager.HttpConnectionManager(
        stat_prefix="benchmark",
        rds={"route_config_name": f"routes-{table}", "config_source": {"ads": {}}},
    )
    message = _listener.Listener(name=f"listener-{table}")
    message.address.socket_address.address = "127.0.0.1"
    message.address.socket_address.port_value = 20_000 + table
    chained = message.filter_chains.add().filters.add()
    chained.name = "http"
    chained.typed_config.Pack(manager)
    return _resource(LISTENER, message.name, message, frozenset({Key(ROUTE, f"routes-{table}")}))


def _host(index: int) -> Any:
    host = _routes.VirtualHost(name=f"v{index}", domains=[f"svc-{index:04}"])
    route = host.routes.add()
    route.match.prefix = "/"
    route.route.cluster = cluster_name(index)
    return host


def _resource(
    type_url: TypeUrl, name: str, message: Any, references: frozenset[Key] = frozenset()
) -> Resource:
    body: bytes = message.SerializeToString(deterministic=True)
    return Resource(type_url, name, content_version(body), body, references)
