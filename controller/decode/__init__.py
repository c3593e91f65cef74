"""From a Kubernetes object, as YAML or JSON has it, to values of the model or problems."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from meltemi.controller.decode import kubernetes
from meltemi.controller.decode.application import ApplicationObject, application_protocol
from meltemi.controller.decode.destinationrule import RuleObject, destination_rule
from meltemi.controller.decode.kafka import KafkaObject, kafka_cluster
from meltemi.controller.decode.metadata import DEFAULT_NAMESPACE, Metadata, is_name
from meltemi.controller.decode.metarouter import RouterObject, meta_router
from meltemi.controller.decode.notes import Notes
from meltemi.controller.decode.redis import (
    RedisDestinationObject,
    RedisServiceObject,
    locked_service,
    redis_destination,
    redis_service,
)
from meltemi.controller.decode.schema import Spec, as_mapping, convert
from meltemi.controller.decode.serviceentry import EntryObject, service_entry
from meltemi.controller.decode.virtual_schema import VirtualObject
from meltemi.controller.decode.virtualservice import virtual_service
from meltemi.controller.decode.workloadentry import WorkloadObject, workload_entry
from meltemi.controller.store.objects import Decoded, Identity, Invalid, Upsert, Value
from meltemi.protocols.model import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from meltemi.protocols.problem import Problem

UNKNOWN_KIND = "MEL0104"
FOREIGN_KIND = "MEL0105"

NAMELESS = "Document"
"""What problems are about that belong to no object."""

ISTIO = "networking.istio.io"
DISCOVERY = "discovery.k8s.io"
METAPROTOCOL = "metaprotocol.aeraki.io"
REDIS = "redis.aeraki.io"
OWN = "meltemi.io"

_Object = TypeVar("_Object", bound=Spec)


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Something that is no object at all: it does not say which one it is."""

    problems: tuple[Problem, ...]


Outcome = Upsert | Invalid | Unnamed


class _Type(NamedTuple):
    group: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Reader:
    """How one kind is read: the versions of its API, its object's values, and what stands for an
    object that cannot be read and has never been.
    """

    versions: frozenset[str]
    read: Callable[[Mapping[str, object], Metadata, Notes], tuple[Value, ...]]
    stopgap: Callable[[Mapping[str, object], Notes], tuple[Value, ...]]


def _nothing(_: Mapping[str, object], __: Notes) -> tuple[Value, ...]:
    return ()


def _reader(
    versions: frozenset[str],
    wanted: type[_Object],
    values: Callable[[_Object, Metadata, Notes], Iterator[Value]],
    stopgap: Callable[[Mapping[str, object], Notes], tuple[Value, ...]] = _nothing,
) -> _Reader:
    def read(body: Mapping[str, object], meta: Metadata, notes: Notes) -> tuple[Value, ...]:
        written = convert(body, wanted, notes)
        return () if written is None else tuple(values(written, meta, notes))

    return _Reader(versions, read, stopgap)


_ISTIO_VERSIONS = frozenset({"v1alpha3", "v1beta1", "v1"})
_V1 = frozenset({"v1"})
_V1ALPHA1 = frozenset({"v1alpha1"})

_READERS = {
    _Type("", "Service"): _reader(_V1, kubernetes.ServiceObject, kubernetes.service),
    _Type("", "Pod"): _reader(_V1, kubernetes.PodObject, kubernetes.pod),
    _Type("", "Node"): _reader(_V1, kubernetes.NodeObject, kubernetes.node),
    _Type("", "Secret"): _reader(_V1, kubernetes.SecretObject, kubernetes.secret),
    _Type(DISCOVERY, "EndpointSlice"): _reader(
        _V1, kubernetes.SliceObject, kubernetes.endpoint_slice
    ),
    _Type(ISTIO, "ServiceEntry"): _reader(_ISTIO_VERSIONS, EntryObject, service_entry),
    _Type(ISTIO, "WorkloadEntry"): _reader(_ISTIO_VERSIONS, WorkloadObject, workload_entry),
    _Type(ISTIO, "VirtualService"): _reader(_ISTIO_VERSIONS, VirtualObject, virtual_service),
    _Type(ISTIO, "DestinationRule"): _reader(_ISTIO_VERSIONS, RuleObject, destination_rule),
    _Type(METAPROTOCOL, "MetaRouter"): _reader(_V1ALPHA1, RouterObject, meta_router),
    _Type(METAPROTOCOL, "ApplicationProtocol"): _reader(
        _V1ALPHA1, ApplicationObject, application_protocol
    ),
    _Type(REDIS, "RedisService"): _reader(
        _V1ALPHA1, RedisServiceObject, redis_service, locked_service
    ),
    _Type(OWN, "KafkaCluster"): _reader(_V1ALPHA1, KafkaObject, kafka_cluster),
    _Type(REDIS, "RedisDestination"): _reader(_V1ALPHA1, RedisDestinationObject, redis_destination),
}

KINDS: Mapping[tuple[str, str], frozenset[str]] = MappingProxyType(
    {each: reader.versions for each, reader in _READERS.items()}
)
"""What is read: the versions by group and kind."""

# Kinds that exist, but mean nothing here yet.
_UNREAD = {
    _Type("dubbo.aeraki.io", "DubboAuthorizationPolicy"),
    *(
        _Type(ISTIO, kind)
        for kind in (
            "EnvoyFilter",
            "Gateway",
            "ProxyConfig",
            "Sidecar",
            "TrafficExtension",
            "WorkloadGroup",
        )
    ),
}

_NAMESPACE = _Type("", "Namespace")

_CLUSTER_SCOPED = {_NAMESPACE, _Type("", "Node"), _Type(METAPROTOCOL, "ApplicationProtocol")}


def decode(value: object) -> Outcome:
    """One object. Never raises: whatever a user writes is an answer.

    ``Upsert`` may carry problems of parts of the object; ``Invalid`` says why the object as a
    whole cannot be read, and its last good state stays; ``Unnamed`` is about no object.
    """
    nameless = Notes(Ref(NAMELESS, "", ""))
    if (body := as_mapping(value)) is None:
        nameless.wrong("", "the document is no mapping", "write apiVersion, kind and metadata")
        return Unnamed(tuple(nameless.problems))
    identity, version = _identify(body, nameless)
    if identity is None:
        return Unnamed(tuple(nameless.problems))
    wanted = _Type(identity.group, identity.kind)
    metadata = as_mapping(body.get("metadata")) or {}
    generation, uid = metadata.get("generation"), str(metadata.get("uid") or "")
    notes = Notes(identity.ref(generation if isinstance(generation, int) else 0))
    if (reader := _READERS.get(wanted)) is None:
        return _unread(wanted, identity, notes)
    if version not in reader.versions:
        known = " or ".join(sorted(reader.versions))
        notes.add(UNKNOWN_KIND, "apiVersion", f"version {version} is not read", f"write {known}")
        return Invalid(identity, tuple(notes.problems), reader.stopgap(body, notes), uid)
    metadata = {**metadata, "namespace": identity.namespace}
    meta = convert(metadata, Metadata, notes, "metadata")
    values = () if meta is None else reader.read(body, meta, notes)
    problems = tuple(notes.problems)
    if meta is None or notes.rejected:
        return Invalid(identity, problems, reader.stopgap(body, notes), uid)
    origin = meta.generation, meta.creation_timestamp, uid
    return Upsert(Decoded(identity, values, problems, *origin))


def is_read(identity: Identity) -> bool:
    """Whether objects of this kind mean anything here."""
    return _Type(identity.group, identity.kind) in _READERS


def _identify(body: Mapping[str, object], notes: Notes) -> tuple[Identity | None, str]:
    """Which object it is, and in which version; the notes say why it does not tell."""
    api, kind = body.get("apiVersion"), body.get("kind")
    metadata = as_mapping(body.get("metadata")) or {}
    name, namespace = metadata.get("name"), metadata.get("namespace") or DEFAULT_NAMESPACE
    if not (isinstance(api, str) and isinstance(kind, str) and api and kind):
        notes.wrong("", "apiVersion or kind is missing", "write both")
        return None, ""
    group, _, version = api.rpartition("/")
    if name is None:
        notes.missing("metadata.name", "give it a name")
        return None, version
    for field, text in (("metadata.name", name), ("metadata.namespace", namespace)):
        if not isinstance(text, str) or (_Type(group, kind) in _READERS and not is_name(text)):
            cause = f"{text!r} is no name of Kubernetes"
            notes.wrong(field, cause, "use lower-case letters, digits, - and .")
    if notes.rejected:
        return None, version
    if _Type(group, kind) in _CLUSTER_SCOPED:
        namespace = ""
    return Identity(group, kind, str(namespace), str(name)), version


def _unread(wanted: _Type, identity: Identity, notes: Notes) -> Upsert | Invalid:
    """A kind without a reader is a mistake only in groups of which we read everything."""
    where = f"{wanted.kind} of {wanted.group or 'v1'}"
    if wanted == _NAMESPACE:
        return Upsert(Decoded(identity))
    ours = wanted.group in {ISTIO, DISCOVERY} or wanted.group.endswith(("aeraki.io", "meltemi.io"))
    if ours and wanted not in _UNREAD:
        notes.add(UNKNOWN_KIND, "kind", f"{where} is no kind that exists", _meant(wanted))
        return Invalid(identity, tuple(notes.problems))
    notes.add(FOREIGN_KIND, "kind", f"{where} is not read and has no effect", _meant(wanted))
    return Upsert(Decoded(identity, problems=tuple(notes.problems)))


def _meant(wanted: _Type) -> str:
    kinds = [known.kind for known in _READERS if known.group == wanted.group]
    close = get_close_matches(wanted.kind, kinds, 1)
    return f"did you mean {close[0]}?" if close else "nothing, if it is for other readers"
