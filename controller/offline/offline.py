"""Rules without a server: read once, compiled for proxies that need not be there."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from google.protobuf import json_format

from meltemi.controller.findings import Finding, findings
from meltemi.controller.nodes import profile
from meltemi.controller.offline.presets import preset
from meltemi.controller.sources.files import STDIN, FilesSource
from meltemi.controller.sources.folder import Folder
from meltemi.controller.store.store import Store
from meltemi.protocols.compiler import Compiler
from meltemi.protocols.group import NOWHERE, VIP
from meltemi.xds._pb import discovery_pb2
from meltemi.xds.wire import ProtocolError, sotw_node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from meltemi.controller.settings import Settings
    from meltemi.controller.sources import Place
    from meltemi.controller.store.objects import Change
    from meltemi.protocols.group import Group, GroupKey
    from meltemi.protocols.model import Mesh, Ref, Service
    from meltemi.protocols.problem import Problem
    from meltemi.protocols.registry import Registry
    from meltemi.xds.wire import Node


NO_NODE = "it is no JSON of a core.v3.Node"


class NodeFileError(Exception):
    """A file does not hold a node. The text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Offline:
    """What was read, and a compiler that has looked at it."""

    registry: Registry
    store: Store
    compiler: Compiler
    place: Callable[[Problem], Place | None]
    where: Callable[[Ref], Place | None]

    @property
    def mesh(self) -> Mesh:
        """What users want."""
        return self.store.mesh

    def group(self, key: GroupKey) -> Group:
        """Everything that such proxies get."""
        for _ in self.compiler.open(key):
            pass
        return self.compiler.group(key)

    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the objects, and with what was compiled of them so far."""
        found = [problem for problems in self.store.problems.values() for problem in problems]
        return findings((*found, *self.compiler.problems()), self.place)


def read_path(path: Path, registry: Registry, settings: Settings) -> Offline:
    """A file or a folder.

    Raises:
        SourceError: there is nothing to read.
    """
    source = FilesSource(path)
    return _offline(source.read(), source, registry, settings)


def read_text(text: bytes, registry: Registry, settings: Settings) -> Offline:
    """Documents that came from standard input."""
    folder = Folder()
    return _offline(folder.update({STDIN: text}), folder, registry, settings)


def _offline(
    changes: Iterable[Change],
    places: FilesSource | Folder,
    registry: Registry,
    settings: Settings,
) -> Offline:
    store = Store()
    compiler = Compiler(
        registry,
        store.mesh,
        check_interval=settings.health_check_interval,
        allowed=settings.allowed,
        exposed=settings.security.exposed,
    )
    for _ in compiler.update(store.apply(changes)):
        pass
    return Offline(registry, store, compiler, places.place, places.where)


def compile_everything(offline: Offline) -> None:
    """Compile for stock proxies of every namespace, so that ``findings`` tells all there is.

    Which services share an address is asked of proxies that bind to virtual IPs; of services that
    have none, it is asked of proxies that bind to one address, since no others can serve them.
    """
    stock = profile(preset(), offline.registry).group
    services = [service for found in offline.mesh.services.values() for service in found]
    reachable = frozenset(_pattern(service) for service in services if service.addresses)
    crowded = _sharing_ports([service for service in services if not service.addresses])
    for namespace in sorted(namespaces(offline.mesh)):
        offline.group(replace(stock, namespace=namespace, bind=NOWHERE))
        if reachable:
            offline.group(replace(stock, namespace=namespace, bind=VIP, services=reachable))
        if crowded:
            offline.group(replace(stock, namespace=namespace, services=crowded))


def _sharing_ports(services: Iterable[Service]) -> frozenset[str]:
    """Those that have a port whose number another one has as well."""
    by_number: dict[int, set[str]] = {}
    for service in services:
        for port in service.ports:
            by_number.setdefault(port.number, set()).add(_pattern(service))
    return frozenset[str]().union(*(found for found in by_number.values() if len(found) > 1))


def _pattern(service: Service) -> str:
    return f"{service.namespace}/{service.host}"


def namespaces(mesh: Mesh) -> frozenset[str]:
    """The namespaces that something is in, and ``default``."""
    tables = (mesh.services, mesh.rules, mesh.policies, mesh.redis, mesh.upstreams)
    found = {entry.ref.namespace for table in tables for e in table.values() for entry in e}
    return frozenset(found | {"default"})


def parse_node(text: str | bytes) -> Node:
    """A node from the proto-JSON of ``envoy.config.core.v3.Node``, such as Envoy's config dump
    shows it: names in camelCase or snake_case, fields that do not matter here ignored.

    Raises:
        NodeFileError: it is no such JSON.
    """
    request = discovery_pb2.DiscoveryRequest()
    try:
        value: object = json.loads(text)
        if not isinstance(value, dict):
            raise NodeFileError(f"{NO_NODE}: it is no mapping")
        fields = cast("dict[str, object]", value)
        json_format.ParseDict(fields, request.node, ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise NodeFileError(f"{NO_NODE}: {error}") from error
    if not request.node.ListFields():
        raise NodeFileError(
            f"{NO_NODE}: it has no field of one; in Envoy's /config_dump the node is "
            ".configs[0].bootstrap.node"
        )
    request.node.id = request.node.id or "file"
    try:
        return sotw_node(request.SerializeToString())
    except ProtocolError as error:
        raise NodeFileError(str(error)) from error
