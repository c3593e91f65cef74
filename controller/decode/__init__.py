"""From a Kubernetes object, as YAML or JSON has it, to values of the model or problems."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from meltemi.controller.decode import kubernetes
from meltemi.controller.decode.destinationrule import RuleObject, destination_rule
from meltemi.controller.decode.metadata import Metadata, is_name
from meltemi.controller.decode.metarouter import RouterObject, meta_router
from meltemi.controller.decode.notes import Notes
from meltemi.controller.decode.redis import (
    RedisDestinationObject,
    RedisServiceObject,
    redis_destination,
    redis_service,
)
from meltemi.controller.decode.schema import Spec, as_mapping, convert
from meltemi.controller.decode.serviceentry import EntryObject, service_entry
from meltemi.controller.objects import Decoded, Identity, Invalid, Upsert, Value
from meltemi.protocols.model import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from meltemi.protocols.problem import Problem

UNKNOWN_KIND = "MEL0104"
FOREIGN_KIND = "MEL0105"

ISTIO = "networking.istio.io"
DISCOVERY = "discovery.k8s.io"
METAPROTOCOL = "metaprotocol.aeraki.io"
REDIS = "redis.aeraki.io"

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
    """How one kind is read: the versions of its API, and its object's values."""

    versions: frozenset[str]
    read: Callable[[Mapping[str, object], Metadata, Notes], tuple[Value, ...]]


def _reader(
    versions: frozenset[str],
    wanted: type[_Object],
    values: Callable[[_Object, Metadata, Notes], Iterator[Value]],
) -> _Reader:
    def read(body: Mapping[str, object], meta: Metadata, notes: Notes) -> tuple[Value, ...]:
        written = convert(body, wanted, notes)
        return () if written is None else tuple(values(written, meta, notes))

    return _Reader(versions, read)


_ISTIO_VERSIONS = frozenset({"v1alpha3", "v1beta1", "v1"})
_V1 = frozenset({"v1"})
_V1ALPHA1 = frozenset({"v1alpha1"})

_READERS = {
    _Type("", "Service"): _reader(_V1, kubernetes.ServiceObject, kubernetes.service),
    _Type("", "Pod"): _reader(_V1, kubernetes.PodObject, kubernetes.pod),
    _Type("", "Secret"): _reader(_V1, kubernetes.SecretObject, kubernetes.secret),
    _Type(DISCOVERY, "EndpointSlice"): _reader(
        _V1, kubernetes.SliceObject, kubernetes.endpoint_slice
    ),
    _Type(ISTIO, "ServiceEntry"): _reader(_ISTIO_VERSIONS, EntryObject, service_entry),
    _Type(ISTIO, "DestinationRule"): _reader(_ISTIO_VERSIONS, RuleObject, destination_rule),
    _Type(METAPROTOCOL, "MetaRouter"): _reader(_V1ALPHA1, RouterObject, meta_router),
    _Type(REDIS, "RedisService"): _reader(_V1ALPHA1, RedisServiceObject, redis_service),
    _Type(REDIS, "RedisDestination"): _reader(_V1ALPHA1, RedisDestinationObject, redis_destination),
}

# Kinds that exist, but mean nothing here yet.
_UNREAD = {
    _Type(METAPROTOCOL, "ApplicationProtocol"),
    _Type("dubbo.aeraki.io", "DubboAuthorizationPolicy"),
    *(
        _Type(ISTIO, kind)
        for kind in (
            "EnvoyFilter",
            "Gateway",
            "ProxyConfig",
            "Sidecar",
            "TrafficExtension",
            "VirtualService",
            "WorkloadEntry",
            "WorkloadGroup",
        )
    ),
}

_NAMESPACE = _Type("", "Namespace")


def decode(value: object) -> Outcome:
    """One object. Never raises: whatever a user writes is an answer.

    ``Upsert`` may carry problems of parts of the object; ``Invalid`` says why the object as a
    whole cannot be read, and its last good state stays; ``Unnamed`` is about no object.
    """
    if (body := as_mapping(value)) is None:
        return _nameless("the document is no mapping", "write apiVersion, kind and metadata")
    version, kind = body.get("apiVersion"), body.get("kind")
    if not (isinstance(version, str) and isinstance(kind, str) and version and kind):
        return _nameless("apiVersion or kind is missing", "write both")
    notes = Notes(Ref(kind, "", ""))
    if (meta := convert(body.get("metadata") or {}, Metadata, notes, "metadata")) is None:
        return Unnamed(tuple(notes.problems))
    group, _, version = version.rpartition("/")
    return _named(body, _Type(group, kind), version, meta, notes)


def _named(
    body: Mapping[str, object], wanted: _Type, version: str, meta: Metadata, notes: Notes
) -> Outcome:
    namespace = "" if wanted == _NAMESPACE else meta.namespace
    identity = Identity(*wanted, namespace, meta.name)
    notes = _renamed(notes, identity.ref(meta.generation))
    if (reader := _READERS.get(wanted)) is None:
        return _unread(wanted, identity, notes)
    for field, name in (("metadata.name", meta.name), ("metadata.namespace", meta.namespace)):
        if not is_name(name):
            cause = f"{name!r} is no name of Kubernetes"
            notes.wrong(field, cause, "use lower-case letters, digits, - and .")
            return Unnamed(tuple(notes.problems))
    if version not in reader.versions:
        known = " or ".join(sorted(reader.versions))
        notes.add(UNKNOWN_KIND, "apiVersion", f"version {version} is not read", f"write {known}")
        return Invalid(identity, tuple(notes.problems))
    values = reader.read(body, meta, notes)
    if notes.rejected:
        return Invalid(identity, tuple(notes.problems))
    problems = tuple(notes.problems)
    return Upsert(Decoded(identity, values, problems, meta.generation, meta.creation_timestamp))


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


def _renamed(notes: Notes, ref: Ref) -> Notes:
    """The same notes, now that it is known whom they are about."""
    renamed = Notes(ref)
    for problem in notes.problems:
        renamed.add(problem.code, problem.about.field, problem.cause, problem.next_step)
    return renamed


def _nameless(cause: str, next_step: str) -> Unnamed:
    notes = Notes(Ref("Document", "", ""))
    notes.wrong("", cause, next_step)
    return Unnamed(tuple(notes.problems))
