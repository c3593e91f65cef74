"""Every name that Meltemi gives to something in Envoy, and its inverse: a contract."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

    from meltemi.protocols.model import Route

RUNTIME_LAYER = "meltemi"
"""The RTDS layer that a bootstrap of ours subscribes to."""


@dataclass(frozen=True, slots=True)
class ClusterName:
    """``outbound|<port>|<subset>|<host>``: Istio's name of a service's port or subset."""

    host: str
    port: int
    subset: str = ""

    def __str__(self) -> str:
        return f"outbound|{self.port}|{self.subset}|{self.host}"


@dataclass(frozen=True, slots=True)
class SplitName:
    """``split|<port>|<namespace>/<rule>/<route>|<host>``: one route's weighted destinations."""

    host: str
    port: int
    namespace: str
    rule: str
    route: str

    def __str__(self) -> str:
        return f"split|{self.port}|{self.namespace}/{self.rule}/{self.route}|{self.host}"


def parse_cluster(name: str) -> ClusterName | SplitName:
    """The inverse of both names' ``str``.

    Raises:
        ValueError: the name is not one of ours.
    """
    match name.split("|", 3):
        case ["outbound", port, subset, host]:
            return ClusterName(host, int(port), subset)
        case ["split", port, owner, host]:
            namespace, rule, route = owner.split("/", 2)
            return SplitName(host, int(port), namespace, rule, route)
        case _:
            raise ValueError(f"{name!r} is no cluster name of Meltemi's")


def route_label(route: Route, taken: Container[str] = ()) -> str:
    """What a route is called. An unnamed one, or one whose name is taken or would not parse back,
    goes by its match, never by its index: inserting a route above it moves nothing.
    """
    if route.name and "|" not in route.name and route.name not in taken:
        return route.name
    text = repr(sorted((name, repr(matcher)) for name, matcher in route.match.items()))
    return blake2b(text.encode(), digest_size=5).hexdigest()


def route_config(host: str, port: int) -> str:
    """``<host>_<port>``: the route table of a service's port."""
    return f"{host}_{port}"


def listener(host: str, port: int, address: str = "") -> str:
    """``<host>_<port>``, with ``@<address>`` where the service has several."""
    return f"{host}_{port}@{address}" if address else f"{host}_{port}"


def parse_listener(name: str) -> tuple[str, int, str]:
    """Host, port and address (or an empty one) of a listener's or route table's name.

    Raises:
        ValueError: the name is not one of ours.
    """
    name, _, address = name.partition("@")
    host, _, port = name.rpartition("_")
    return host, int(port), address


def stat_prefix(host: str, port: int) -> str:
    """``outbound|<port>||<host>``, as Aeraki and Istio name it."""
    return f"outbound|{port}||{host}"


def mirror_key(host: str, port: int, route: str, index: int) -> str:
    """The runtime key of a mirror's percentage."""
    return f"meltemi.redis.{host}_{port}.{route}.mirror.{index}"


def fault_key(host: str, port: int, index: int) -> str:
    """The runtime key of a fault's percentage."""
    return f"meltemi.redis.{host}_{port}.fault.{index}"
