"""What a standalone proxy says about itself in ``node.metadata.meltemi``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from meltemi.protocols.api import Capability, Target
from meltemi.protocols.group import VIP, GroupKey
from meltemi.protocols.guard import is_ip

if TYPE_CHECKING:
    from meltemi.protocols.registry import Registry
    from meltemi.xds.wire import Node

LONGEST_ID = 256
"""Characters of ``node.id``, which stands in logs, reports and metrics."""

DEFAULT_NAMESPACE = "default"

DRAIN = 600.0
"""Seconds: Envoy's own default of ``--drain-time-s``."""

LONGEST_DRAIN = 1e6
"""Seconds. A number may also be infinite, which no program that asks for proxies could read."""

PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class NodeMetadata(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """``node.metadata.meltemi`` (docs/node-metadata.md)."""

    namespace: str | None = None
    bind: str = "127.0.0.1"
    services: tuple[str, ...] = ("*",)
    ports: dict[str, PortNumber] = {}
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_DRAIN)] = DRAIN
    rtds: bool = False


class NodeError(ValueError):
    """The metadata cannot be used. The text names the field, the cause and the next step."""


class NamespaceError(NodeError):
    """The metadata claims another namespace than the proxy's own."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What decides how a proxy is served: its group, and the seconds that its listeners drain."""

    group: GroupKey
    drain: float


def profile(node: Node, registry: Registry, namespace: str | None = None) -> Profile:
    """Read a node. ``namespace``: the proxy's own; without one it says so itself.

    Raises:
        NodeError: the id is too long or not one line of text, or the metadata is wrong.
        NamespaceError: it claims another namespace.
    """
    if len(node.id) > LONGEST_ID:
        raise NodeError(
            f"node.id begins with {node.id[:20]!r} and has {len(node.id)} characters: "
            f"write at most {LONGEST_ID}"
        )
    if not node.id.isprintable():
        raise NodeError(f"node.id is {node.id!r}: write it without control characters")
    metadata = _metadata(node)
    if namespace is not None and metadata.namespace not in {None, namespace}:
        raise NamespaceError(
            f"node {node.id!r}: node.metadata.meltemi.namespace is {metadata.namespace!r}, and "
            f"this proxy is in {namespace!r}: leave the field out, or connect as a workload of "
            "that namespace"
        )
    capability = Capability(node.type_urls & registry.extensions, node.version)
    group = GroupKey(
        target=Target(capability, rtds=metadata.rtds),
        namespace=namespace or metadata.namespace or DEFAULT_NAMESPACE,
        bind=metadata.bind,
        services=frozenset(map(str.lower, metadata.services)),
        ports=tuple(sorted((at.lower(), port) for at, port in metadata.ports.items())),
    )
    return Profile(group, metadata.drain_seconds)


def _metadata(node: Node) -> NodeMetadata:
    try:
        metadata = msgspec.convert(
            node.metadata.get("meltemi", {}),
            NodeMetadata,
            strict=False,  # a Struct has only floats, and command lines only text
        )
    except msgspec.ValidationError as error:
        raise NodeError(
            f"node {node.id!r}: node.metadata.meltemi: {error}; correct the bootstrap "
            "(docs/node-metadata.md lists the fields)"
        ) from error
    if metadata.bind != VIP and not is_ip(metadata.bind):
        raise NodeError(
            f"node {node.id!r}: node.metadata.meltemi.bind is {metadata.bind!r}: "
            "write an IP address, or 'vip'"
        )
    for pattern in metadata.services:
        if pattern != "*" and pattern.count("/") != 1:
            raise NodeError(
                f"node {node.id!r}: node.metadata.meltemi.services has {pattern!r}: "
                "write 'namespace/host', or '*'"
            )
    for name in metadata.ports:
        if not name.rpartition(":")[2].isdecimal():
            raise NodeError(
                f"node {node.id!r}: node.metadata.meltemi.ports has the key {name!r}: "
                "write 'host:port'"
            )
    return metadata
