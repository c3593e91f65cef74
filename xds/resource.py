"""Typed resources as immutable bytes, and the rules of each type.

A body is encoded once, by its owner; this package never parses one. What it must know about a
resource (whom it names, how long it may take to warm) travels beside the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

TypeUrl = str

PREFIX = "type.googleapis.com/"
LISTENER: TypeUrl = PREFIX + "envoy.config.listener.v3.Listener"
CLUSTER: TypeUrl = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT: TypeUrl = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
EXTENSION: TypeUrl = PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
RUNTIME: TypeUrl = PREFIX + "envoy.service.runtime.v3.Runtime"
SECRET: TypeUrl = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"


class Key(NamedTuple):
    """What identifies a resource on a stream."""

    type_url: TypeUrl
    name: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource, ready to send.

    ``version`` is a content hash: replicas and restarts agree on it. ``references`` are the
    resources that this one names. ``warming`` is an upper bound in seconds for the time that a
    proxy may take to warm it (a cluster's health-check timeout). ``origins`` are the owners'
    objects that it came from and ``unit`` is what changes together; both are carried, never
    looked into. ``memo`` is the encoder's: what stands before the body on the wire, made once and
    shared by all streams.
    """

    type_url: TypeUrl
    name: str
    version: str
    body: bytes
    references: frozenset[Key] = frozenset()
    warming: float = 0.0
    origins: tuple[Hashable, ...] = ()
    unit: Hashable = None
    memo: list[bytes] = field(default_factory=list[bytes], init=False, repr=False, compare=False)

    @property
    def key(self) -> Key:
        """Type and name."""
        return Key(self.type_url, self.name)


def content_version(body: bytes) -> str:
    """The version of a body: 16 hex digits of its hash."""
    return blake2b(body, digest_size=8).hexdigest()


class Missing(Enum):
    """What a subscriber of a name that does not exist hears."""

    SILENCE = "silence"
    REMOVED = "removed"


class Removal(Enum):
    """When a proxy hears that a resource is gone."""

    AT_ONCE = "at once"
    LINGER = "after the linger"
    WITH_PARENT = "with the resource that names it"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class TypeRules:
    """How one type behaves on a stream. Tuples of these, in push order, configure the engine.

    ``full_state``: a SotW response carries every subscribed resource. ``wildcard``: a first
    request without names means all (legacy wildcard). ``missing_sotw`` and ``missing_delta`` say
    what a subscriber of an unknown name hears: nothing, a removal (delta only) or the body that
    a function makes of the name; where a delta subscriber would hear a removal of a name that
    another resource still references, the function of ``missing_sotw`` answers if there is one.
    With ``Removal.AT_ONCE`` a delta subscriber hears of a removal also where unknown names are
    met with silence.
    ``acks_refused``: a proxy that refused a version accepts it when it comes again, and does not
    use it: that ACK proves nothing.
    ``gated``: held back until the clusters that it names are warm. ``staged``: goes to one
    proxy first (not yet in use).
    """

    type_url: TypeUrl
    full_state: bool = False
    wildcard: bool = False
    missing_sotw: Missing | Callable[[str], bytes] = Missing.SILENCE
    missing_delta: Missing | Callable[[str], bytes] = Missing.SILENCE
    removal: Removal = Removal.NEVER
    acks_refused: bool = False
    gated: bool = False
    staged: bool = False
