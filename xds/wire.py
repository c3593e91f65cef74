"""Requests from bytes and responses to bytes: the only module that knows the discovery messages.

A response is joined from parts that exist already: a header, and for each resource what stands
before its body (made once, ``Resource.memo``) and the body itself. Nothing is copied per stream
but the joined result.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from meltemi.xds._pb import discovery_pb2 as pb
from meltemi.xds.subscription import share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.struct_pb2 import Struct, Value

    from meltemi.xds.resource import Resource, TypeUrl

MESSAGE_LIMIT = 4096
"""How much of a refusal's text is kept, in characters; the proxy's own limit is of that size."""

NODE_LIMIT = 512 * 1024
"""Bytes of a node. A real one has 60 kB, and megabytes of it would keep everybody waiting."""

_WORTH_REMEMBERING = 512  # bytes of names; below, parsing costs as much as recognising
_WORTH_SHARING = 1024 * 1024  # bytes of names; above, what is shared would be a burden
_LONGEST_VARINT = 10  # bytes


class ProtocolError(Exception):
    """The peer broke xDS. It ends that stream with INVALID_ARGUMENT; the text is for the peer."""


class Extension(NamedTuple):
    """An extension that a proxy was built with; ``type_url`` has no ``type.googleapis.com/``."""

    category: str
    type_url: str


class Locality(NamedTuple):
    """Where a proxy runs."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """What a proxy says about itself in its first request.

    ``metadata`` holds plain values (str, float, bool, None, list, dict). ``version`` is (major,
    minor), (0, 0) when not told. Equal ``extensions`` are one object in the whole process: a real
    proxy lists some 500.
    """

    id: str
    cluster: str
    metadata: Mapping[str, object]
    locality: Locality = field(default_factory=Locality)
    version: tuple[int, int] = (0, 0)
    extensions: frozenset[Extension] = frozenset()
    client_features: frozenset[str] = frozenset()

    @property
    def type_urls(self) -> frozenset[str]:
        """The type URLs of all extensions, whatever their category."""
        return frozenset(extension.type_url for extension in self.extensions)


@dataclass(slots=True)
class Names:
    """The names of a request, and how to recognise the bytes that said so.

    A SotW stream repeats all its names in every request. A thousand of them are recognised by
    size and hash, several times faster than they are read. The bytes themselves, 50 kB then, would
    double the memory of an idle stream: only for what several streams say is there a ``section``,
    and comparing costs next to nothing. ``size`` is 0 when it is not worth it.
    """

    values: frozenset[str] = frozenset()
    size: int = 0
    digest: int = 0
    section: bytes = field(default=b"", compare=False, repr=False)

    def begin(self, raw: bytes, start: int) -> bool:
        """Whether the bytes from ``start`` on begin with these names."""
        if self.section:
            return raw.startswith(self.section, start)
        return self.size > 0 and hash(raw[start : start + self.size]) == self.digest


class SotwRequest(NamedTuple):
    """A state-of-the-world request. ``error`` is None unless it is a NACK."""

    type_url: TypeUrl
    version: str
    names: Names
    nonce: str = ""
    error: str | None = None
    node_id: str = ""

    @property
    def resumes(self) -> bool:
        """Whether the proxy holds resources of an earlier stream; meant for first requests."""
        return bool(self.version)


class DeltaRequest(NamedTuple):
    """An incremental request. ``initial`` are the versions that a reconnecting proxy holds."""

    type_url: TypeUrl
    subscribe: tuple[str, ...]
    unsubscribe: tuple[str, ...]
    initial: Mapping[str, str]
    nonce: str = ""
    error: str | None = None
    node_id: str = ""

    @property
    def resumes(self) -> bool:
        """Whether the proxy holds resources of an earlier stream; meant for first requests."""
        return bool(self.initial)


class Header(NamedTuple):
    """What a response carries beside its resources."""

    type_url: TypeUrl
    version: str
    nonce: str
    identifier: str


# Many streams ask for the same when they come back all at once.
_lately: deque[Names] = deque(maxlen=8)


def decode_sotw(raw: bytes, known: Iterable[Names] = ()) -> SotwRequest:
    """A request, with the help of the names that this stream has sent before.

    Raises ProtocolError on bytes that are no DiscoveryRequest.
    """
    try:
        message, names = _recognise(raw, known) or _parse(raw)
    except (DecodeError, IndexError) as error:
        raise ProtocolError(f"the request is not a DiscoveryRequest: {error}") from error
    return SotwRequest(
        message.type_url,
        message.version_info,
        names,
        message.response_nonce,
        _refusal(message),
        message.node.id,
    )


def decode_delta(raw: bytes) -> DeltaRequest:
    """A request. Raises ProtocolError on bytes that are no DeltaDiscoveryRequest."""
    message = _delta_message(raw)
    return DeltaRequest(
        message.type_url,
        tuple(message.resource_names_subscribe),
        tuple(message.resource_names_unsubscribe),
        dict(message.initial_resource_versions),
        message.response_nonce,
        _refusal(message),
        message.node.id,
    )


def sotw_node(raw: bytes) -> Node:
    """The node of a stream's first request. Raises ProtocolError when it has none."""
    try:
        return _node(pb.DiscoveryRequest.FromString(raw).node)
    except DecodeError as error:
        raise ProtocolError(f"the request is not a DiscoveryRequest: {error}") from error


def delta_node(raw: bytes) -> Node:
    """The node of a stream's first request. Raises ProtocolError when it has none."""
    return _node(_delta_message(raw).node)


def sotw_body(resources: Iterable[Resource]) -> bytes:
    """The resources of a DiscoveryResponse."""
    return b"".join(part for each in resources for part in (_memo(each)[0], each.body))


def delta_body(resources: Iterable[Resource], removed: Iterable[str]) -> bytes:
    """The resources and the removals of a DeltaDiscoveryResponse."""
    parts = [_text(0x32, name) for name in removed]
    parts += (part for each in resources for part in (_memo(each)[1], each.body))
    return b"".join(parts)


def encode_sotw(header: Header, body: bytes) -> bytes:
    """A DiscoveryResponse."""
    head = _head(header.version, header.type_url, header.identifier, 0x32)
    return b"".join((head, _text(0x2A, header.nonce), body))


def encode_delta(header: Header, body: bytes) -> bytes:
    """A DeltaDiscoveryResponse."""
    head = _head(header.version, header.type_url, header.identifier, 0x3A)
    return b"".join((head, _text(0x2A, header.nonce), body))


@lru_cache(maxsize=64)
def _head(version: str, type_url: TypeUrl, identifier: str, identifier_tag: int) -> bytes:
    """What responses to many streams have in common beside the resources."""
    control_plane = _field(identifier_tag, _text(0x0A, identifier))
    return _text(0x0A, version) + _text(0x22, type_url) + control_plane


def _memo(resource: Resource) -> list[bytes]:
    """What stands before the body: in a DiscoveryResponse, and in a DeltaDiscoveryResponse.

    Both carry the Any as their field 2, so the second is the first behind a longer prefix:
    ``Resource`` has its version, its name and last its Any.
    """
    memo = resource.memo
    if not memo:
        any_head = _text(0x0A, resource.type_url) + b"\x12" + _varint(len(resource.body))
        plain = b"\x12" + _varint(len(any_head) + len(resource.body)) + any_head
        labels = _text(0x0A, resource.version) + _text(0x1A, resource.name)
        size = len(labels) + len(plain) + len(resource.body)
        memo += (plain, b"\x12" + _varint(size) + labels + plain)
    return memo


def _text(tag: int, value: str) -> bytes:
    return _field(tag, value.encode())


def _field(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _parse(raw: bytes) -> tuple[pb.DiscoveryRequest, Names]:
    message = pb.DiscoveryRequest.FromString(raw)
    names = share(frozenset(message.resource_names))
    if len(raw) < _WORTH_REMEMBERING:
        return message, Names(names)
    section = pb.DiscoveryRequest(resource_names=message.resource_names).SerializeToString()
    # Fields may come in any order. Only the usual one is worth recognising.
    if len(section) < _WORTH_REMEMBERING or not raw.startswith(section, _names_offset(raw)):
        return message, Names(names)
    remembered = Names(names, len(section), hash(section))
    if len(section) <= _WORTH_SHARING:
        _lately.append(remembered)
    return message, remembered


def _recognise(raw: bytes, known: Iterable[Names]) -> tuple[pb.DiscoveryRequest, Names] | None:
    """The request without its names, if they are known ones in the same order."""
    if len(raw) < _WORTH_REMEMBERING:
        return None
    start = _names_offset(raw)
    for names in known:
        if names.begin(raw, start) and (found := _nameless(raw, start, names)) is not None:
            return found, names
    for names in _lately:
        if names.begin(raw, start) and (found := _nameless(raw, start, names)) is not None:
            names.section = raw[start : start + names.size]
            return found, names
    return None


def _nameless(raw: bytes, start: int, names: Names) -> pb.DiscoveryRequest | None:
    """The request without these names; None if it has others beside them."""
    message = pb.DiscoveryRequest.FromString(raw[:start] + raw[start + names.size :])
    return None if message.resource_names else message


def _names_offset(raw: bytes) -> int:
    """Where the names begin: version (field 1) and node (2) are written before them, once."""
    offset = 0
    for tag in (b"\x0a", b"\x12"):
        if raw.startswith(tag, offset):
            length, offset = _read_varint(raw, offset + 1)
            offset += length
    return offset


def _read_varint(raw: bytes, offset: int) -> tuple[int, int]:
    """A length. Its end is not looked for in the megabytes that somebody may write instead."""
    value = 0
    for shift in range(0, _LONGEST_VARINT * 7, 7):
        byte = raw[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
    raise DecodeError("a length has more than ten bytes")


def _delta_message(raw: bytes) -> pb.DeltaDiscoveryRequest:
    try:
        return pb.DeltaDiscoveryRequest.FromString(raw)
    except DecodeError as error:
        raise ProtocolError(f"the request is not a DeltaDiscoveryRequest: {error}") from error


def _refusal(message: pb.DiscoveryRequest | pb.DeltaDiscoveryRequest) -> str | None:
    if not message.HasField("error_detail"):
        return None
    return message.error_detail.message.decode(errors="replace")[:MESSAGE_LIMIT]


def _node(message: pb.Node) -> Node:
    if not message.id:
        raise ProtocolError("the first request of a stream must carry node.id")
    if (size := message.ByteSize()) > NODE_LIMIT:
        raise ProtocolError(
            f"the node has {size} bytes: write at most {NODE_LIMIT}, with less metadata"
        )
    version = message.user_agent_build_version.version
    locality = message.locality
    return Node(
        message.id,
        message.cluster,
        _plain_struct(message.metadata),
        Locality(locality.region, locality.zone, locality.sub_zone),
        (version.major_number, version.minor_number),
        _extensions(message),
        frozenset(message.client_features),
    )


def _extensions(message: pb.Node) -> frozenset[Extension]:
    only = pb.Node()
    only.CopyFrom(message)
    for name, _ in message.ListFields():
        if name.name != "extensions":
            only.ClearField(name.name)
    return _extension_set(only.SerializeToString())


@lru_cache(maxsize=32)
def _extension_set(raw: bytes) -> frozenset[Extension]:
    """Proxies of one build send equal bytes: they share the result."""
    return frozenset(
        Extension(extension.category, type_url)
        for extension in pb.Node.FromString(raw).extensions
        for type_url in extension.type_urls
    )


def _plain_struct(struct: Struct) -> dict[str, object]:
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _plain_struct(value.struct_value)
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)
