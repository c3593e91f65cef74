"""A proxy as a server sees it: it asks for CDS and LDS, then for what those name, and ACKs all."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from benchmarks.xds.wanted import wanted
from meltemi.controller.offline.presets import PRESETS, type_urls
from meltemi.xds._pb import discovery_pb2 as pb
from meltemi.xds.resource import CLUSTER, LISTENER, TypeUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DialectName = Literal["sotw", "delta"]

METHODS: Mapping[DialectName, str] = {
    "sotw": "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
    "delta": "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
}


class Heard(NamedTuple):
    """A response. ``at`` in seconds of the monotonic clock, ``size`` in bytes."""

    at: float
    stream: int
    type_url: TypeUrl
    size: int
    resources: int


class _Read(NamedTuple):
    """What matters of a response; proxies that hear the same share it."""

    type_url: TypeUrl
    version: str
    nonce: str
    resources: int
    wanted: Mapping[TypeUrl, frozenset[str]]
    versions: Mapping[str, str]


@dataclass(slots=True)
class Held:
    """What a proxy has of one type. ``names``: what it asks for, empty for everything.
    ``section``: the same as bytes of a request. ``versions``: delta only, of each response.
    """

    names: frozenset[str] = frozenset()
    section: bytes = b""
    version: str = ""
    nonce: str = ""
    versions: list[Mapping[str, str]] = field(default_factory=list["Mapping[str, str]"])


class Proxy:
    """One stream of it. ``send`` writes a request, ``log`` gets every response."""

    def __init__(
        self, stream: int, introduction: bytes, dialect: DialectName, log: Callable[[Heard], None]
    ) -> None:
        self.pending: set[str] = set()
        self._stream = stream
        self._introduction = introduction
        self._delta = dialect == "delta"
        self._log = log
        self._held: dict[TypeUrl, Held] = {}
        self._send: Callable[[bytes], None] = lambda _: None

    def connected(self, send: Callable[[bytes], None]) -> None:
        """A new stream: ask for everything again, with what is held already. Of what a delta proxy
        holds, nothing may come.
        """
        self._send = send
        known = self._held or {CLUSTER: Held(), LISTENER: Held()}
        self.pending = set() if self._delta and self._held else set(known)
        self._held = {}
        for type_url, held in known.items():
            introduction = b"" if self._held else self._introduction
            held.nonce = ""
            self._held[type_url] = held
            self._send(introduction + self._first(type_url, held))

    def received(self, raw: bytes) -> None:
        """A response: accept it, and ask for what it names."""
        response = (_read_delta if self._delta else _read_sotw)(raw)
        type_url = response.type_url
        self._log(Heard(monotonic(), self._stream, type_url, len(raw), response.resources))
        held = self._held[type_url]
        held.version, held.nonce = response.version, response.nonce
        held.versions.append(response.versions)
        if self._delta:
            ack = pb.DeltaDiscoveryRequest(type_url=type_url, response_nonce=response.nonce)
            self._send(ack.SerializeToString())
        else:
            self._send(_sotw(type_url, held))
        self.pending.discard(type_url)
        for child, names in response.wanted.items():
            self._ask(child, names)

    def _ask(self, type_url: TypeUrl, names: frozenset[str]) -> None:
        held = self._held.get(type_url)
        if held is None:
            self._held[type_url] = held = Held()
            self.pending.add(type_url)
        new = names - held.names
        if not new:
            return
        held.names, held.section = _section(held.names | names)
        if self._delta:
            request = pb.DeltaDiscoveryRequest(
                type_url=type_url, resource_names_subscribe=sorted(new)
            )
            self._send(request.SerializeToString())
        else:
            self._send(_sotw(type_url, held))

    def _first(self, type_url: TypeUrl, held: Held) -> bytes:
        if not self._delta:
            return _sotw(type_url, held)
        versions: dict[str, str] = {}
        for later in held.versions:
            versions.update(later)
        return pb.DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=sorted(held.names),
            initial_resource_versions=versions,
        ).SerializeToString()


def introduction(
    dialect: DialectName,
    identifier: str,
    cluster: str,
    metadata: Mapping[str, Any],
    build: str = "",
) -> bytes:
    """The node, as the beginning of a first request.

    ``build``: lists the extensions of that stock Envoy (``envoy-1.40``), as it does itself.
    """
    request = pb.DiscoveryRequest() if dialect == "sotw" else pb.DeltaDiscoveryRequest()
    request.node.id, request.node.cluster = identifier, cluster
    request.node.metadata.update(metadata)
    if build:
        version = request.node.user_agent_build_version.version
        version.major_number, version.minor_number = PRESETS[build]
        for number, type_url in enumerate(sorted(type_urls(build))):
            request.node.extensions.add(
                name=f"extension-{number}", category="envoy.benchmark", type_urls=[type_url]
            )
    return request.SerializeToString()


def _sotw(type_url: TypeUrl, held: Held) -> bytes:
    """In the order of the fields' numbers, as every proxy writes it; the names need no work."""
    version = pb.DiscoveryRequest(version_info=held.version).SerializeToString()
    rest = pb.DiscoveryRequest(type_url=type_url, response_nonce=held.nonce)
    return version + held.section + rest.SerializeToString()


@lru_cache(maxsize=64)
def _section(names: frozenset[str]) -> tuple[frozenset[str], bytes]:
    """The set, the same object for all proxies, and the part of a SotW request that lists it."""
    return names, pb.DiscoveryRequest(resource_names=sorted(names)).SerializeToString()


@lru_cache(maxsize=64)
def _read_sotw(raw: bytes) -> _Read:
    message = pb.DiscoveryResponse.FromString(raw)
    bodies = (any_.value for any_ in message.resources)
    return _Read(
        message.type_url,
        message.version_info,
        message.nonce,
        len(message.resources),
        _grouped(message.type_url, bodies),
        {},
    )


@lru_cache(maxsize=64)
def _read_delta(raw: bytes) -> _Read:
    message = pb.DeltaDiscoveryResponse.FromString(raw)
    bodies = (resource.resource.value for resource in message.resources)
    return _Read(
        message.type_url,
        message.system_version_info,
        message.nonce,
        len(message.resources),
        _grouped(message.type_url, bodies),
        {resource.name: resource.version for resource in message.resources},
    )


def _grouped(type_url: TypeUrl, bodies: Iterable[bytes]) -> Mapping[TypeUrl, frozenset[str]]:
    names: dict[TypeUrl, set[str]] = {}
    for child, name in wanted(type_url, bodies):
        names.setdefault(child, set()).add(name)
    return {child: frozenset(found) for child, found in names.items()}
