"""What sources deliver: users' objects, decoded once, and changes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from meltemi.protocols.model import (
    Application,
    DestinationPolicy,
    Endpoint,
    Locality,
    RedisSettings,
    RedisUpstream,
    Ref,
    Rule,
    Secret,
    Service,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.protocols.problem import Problem

FILE = "File"
"""The kind of the pseudo object that carries what is wrong with a file, not with an object."""

RESOURCE = "Resource"
"""The same for what is wrong with reading a whole kind from a cluster."""

PSEUDO = frozenset({FILE, RESOURCE})

NOWHERE = Locality()


class Identity(NamedTuple):
    """Which object: the group of its apiVersion, never the version."""

    group: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of_file(cls, path: str) -> Identity:
        """The pseudo object of a file."""
        return cls("", FILE, "", path)

    @classmethod
    def of_resource(cls, name: str, namespace: str = "") -> Identity:
        """The pseudo object of a kind; ``name`` is what the API server calls it."""
        return cls("", RESOURCE, namespace, name)

    def ref(self, generation: int = 0) -> Ref:
        """The same object, as the model names it."""
        return Ref(self.kind, self.namespace, self.name, generation)


@dataclass(frozen=True, slots=True)
class HostEndpoints:
    """Endpoints that a ServiceEntry itself lists for one of its hosts."""

    namespace: str
    host: str
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class HostPods:
    """Pods by name that are the endpoints of a host. ``ports`` as an ``Endpoint`` has them."""

    namespace: str
    host: str
    pods: tuple[str, ...]
    ports: Mapping[int, int]


class SelectedPort(NamedTuple):
    """A port of a host whose endpoints are selected. ``target`` is what they listen on, unless
    they say otherwise for ``name``.
    """

    number: int
    name: str
    target: int


@dataclass(frozen=True, slots=True)
class HostSelector:
    """Pods and WorkloadEntries of the namespace that have these labels, of which there is one at
    least, are the endpoints of a host. ``names``: a DNS name may stand for an address.
    """

    namespace: str
    host: str
    labels: Mapping[str, str]
    ports: tuple[SelectedPort, ...]
    names: bool = False


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """One address of an EndpointSlice. ``pod`` is its targetRef as (namespace, name), if any;
    ``node`` and ``zone`` are empty where they are not said.
    """

    address: str
    ready: bool = True
    pod: tuple[str, str] | None = None
    node: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """An EndpointSlice. ``ports`` maps port names to numbers; it is joined with its Service by
    name, since neither knows the other's numbers.
    """

    namespace: str
    service: str
    ports: Mapping[str, int]
    endpoints: tuple[SliceEndpoint, ...]


@dataclass(frozen=True, slots=True)
class Pod:
    """What endpoints take from the Pod behind them. ``ready`` and ``node``, which is empty while it
    runs on none, count where no EndpointSlice makes it an endpoint.
    """

    namespace: str
    name: str
    addresses: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    ready: bool = True
    node: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, and where it is."""

    name: str
    locality: Locality


@dataclass(frozen=True, slots=True)
class Workload:
    """A WorkloadEntry. ``address`` is an IP address or a DNS name, ``ports`` are its numbers by the
    names of ports.
    """

    namespace: str
    name: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    locality: Locality = NOWHERE
    weight: int = 1
    ready: bool = True


Value: TypeAlias = (
    Service
    | HostEndpoints
    | HostPods
    | HostSelector
    | Slice
    | Pod
    | Node
    | Workload
    | Rule
    | DestinationPolicy
    | RedisSettings
    | RedisUpstream
    | Secret
    | Application
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A valid object: the values that it stands for, and what is wrong with parts of it.

    ``created`` is the creationTimestamp in RFC 3339, ``uid`` what tells objects apart that had the
    same name one after another; both are empty when there is none.
    """

    identity: Identity
    values: tuple[Value, ...] = ()
    problems: tuple[Problem, ...] = ()
    generation: int = 0
    created: str = ""
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Upsert:
    """The object is now this."""

    decoded: Decoded


@dataclass(frozen=True, slots=True)
class Invalid:
    """The object cannot be read now: its last good state stays. ``stopgap`` is in force where
    there is none.
    """

    identity: Identity
    problems: tuple[Problem, ...]
    stopgap: tuple[Value, ...] = ()
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """The object is gone."""

    identity: Identity


Change: TypeAlias = Upsert | Invalid | Delete


def identity_of(change: Change) -> Identity:
    """Which object it is about."""
    return change.decoded.identity if isinstance(change, Upsert) else change.identity
