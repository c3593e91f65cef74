"""Folds changes of users' objects into the mesh, and says what each change touched.

Every table is indexed by what others refer to it by, so a change costs what it touches, however
large the mesh is. The same objects give the same mesh, in whatever order they came.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from meltemi.controller.store.candidates import Candidates
from meltemi.controller.store.endpoints import KUBERNETES_SERVICE, EndpointTable
from meltemi.controller.store.objects import (
    PSEUDO,
    Decoded,
    Delete,
    HostEndpoints,
    HostPods,
    HostSelector,
    Invalid,
    Node,
    Pod,
    Slice,
    Upsert,
    Workload,
    identity_of,
)
from meltemi.protocols.model import (
    Application,
    DestinationPolicy,
    Dirty,
    Mesh,
    RedisSettings,
    RedisUpstream,
    Rule,
    Secret,
    Service,
)
from meltemi.protocols.sight import rule_rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meltemi.controller.store.objects import Change, Identity, Value
    from meltemi.protocols.problem import Problem

Entry = tuple[type, str]
"""Where an object has a value: the value's type, and the host (or the protocol of an application)
for values that have one.
"""


class ObjectState(NamedTuple):
    """An object as it was delivered last. ``generation`` is 0 where objects have none; one that
    cannot be read may still be in force as it was before. ``uid`` as in ``Decoded``.
    """

    generation: int
    readable: bool
    uid: str = ""


class Store:
    """The current mesh and what is wrong with the objects that it came from.

    ``mesh`` is a live read-only view: it always shows the latest state.
    """

    def __init__(self) -> None:
        self._objects: dict[Identity, Decoded] = {}
        self._stopgaps: set[Identity] = set()
        self._unreadable: dict[Identity, ObjectState] = {}
        self._touched: set[Identity] = set()
        self._problems: dict[Identity, tuple[Problem, ...]] = {}
        self._services = Candidates[Service](_service_rank)
        self._rules = Candidates[Rule](rule_rank)
        self._policies = Candidates[DestinationPolicy]()
        self._redis = Candidates[RedisSettings]()
        self._upstreams = Candidates[RedisUpstream]()
        self._endpoints = EndpointTable(self._services.view)
        self._applications = Candidates[Application]()
        self._tables = (
            *(self._services, self._rules, self._policies, self._redis),
            *(self._upstreams, self._applications),
        )
        self._secrets: dict[tuple[str, str], Secret] = {}
        self._secrets_before: dict[tuple[str, str], Secret | None] = {}
        self.mesh = Mesh(
            services=self._services.view,
            endpoints=self._endpoints.view,
            rules=self._rules.view,
            policies=self._policies.view,
            redis=self._redis.view,
            upstreams=self._upstreams.view,
            secrets=MappingProxyType(self._secrets),
            applications=self._applications.view,
        )

    @property
    def problems(self) -> Mapping[Identity, tuple[Problem, ...]]:
        """What is wrong with each object, or with a file; what is fine is absent."""
        return MappingProxyType(self._problems)

    @property
    def count(self) -> int:
        """How many objects there are, readable or not."""
        return sum(1 for _ in self.identities())

    def identities(self) -> Iterator[Identity]:
        """Of all objects, readable or not."""
        known = self._objects.keys() | self._problems.keys()
        return (identity for identity in known if identity.kind not in PSEUDO)

    def concerns(self, decoded: Decoded) -> frozenset[str]:
        """The hosts, or the protocol of an application, that the object is about: as it is written
        there, and as it is in force.
        """
        known = (decoded, self._objects.get(decoded.identity))
        entries = (entry for each in known if each is not None for entry, _ in _entries(each))
        return frozenset(name for _, name in entries if name)

    def about(self, names: Iterable[str]) -> Iterator[Decoded]:
        """The objects that say something about these hosts or protocols, each once."""
        found = {
            identity: None
            for name in names
            for table in self._tables
            for identity in table.objects(name)
        }
        return (self._objects[identity] for identity in found)

    def state(self, identity: Identity) -> ObjectState | None:
        """How an object is; None if there is none."""
        if (unreadable := self._unreadable.get(identity)) is not None:
            return unreadable
        if (decoded := self._objects.get(identity)) is None:
            return None
        return ObjectState(decoded.generation, readable=True, uid=decoded.uid)

    def take_touched(self) -> frozenset[Identity]:
        """The objects that changes were about since the last call."""
        touched = frozenset(self._touched)
        self._touched.clear()
        return touched

    def apply(self, changes: Iterable[Change]) -> Dirty:
        """Fold changes that belong together; what cancels out among them is not dirty."""
        for change in changes:
            self._touched.add(identity_of(change))
            match change:
                case Upsert(decoded):
                    self._upsert(decoded)
                case Delete(identity):
                    self._delete(identity)
                case Invalid():
                    self._reject(change)
        return self._settle()

    def _reject(self, invalid: Invalid) -> None:
        identity = invalid.identity
        before = self._objects.get(identity)
        # Of another object that had the name nothing stays.
        if before is None or identity in self._stopgaps or before.uid != invalid.uid:
            self._delete(identity)
            if invalid.stopgap:
                self._upsert(Decoded(identity, invalid.stopgap))
                self._stopgaps.add(identity)
        self._problems[identity] = invalid.problems
        generations = (problem.about.generation for problem in invalid.problems)
        generation = max(generations, default=0)
        self._unreadable[identity] = ObjectState(generation, readable=False, uid=invalid.uid)

    def _upsert(self, decoded: Decoded) -> None:
        identity = decoded.identity
        self._stopgaps.discard(identity)
        before = self._objects.get(identity)
        self._objects[identity] = decoded
        self._unreadable.pop(identity, None)
        self._problems.pop(identity, None)
        if decoded.problems:
            self._problems[identity] = decoded.problems
        old = {} if before is None else dict(_entries(before))
        new = dict(_entries(decoded))
        aged = before is not None and before.created != decoded.created
        for entry in old.keys() - new.keys():
            self._drop(identity, entry, old[entry])
        for entry, value in new.items():
            if aged or old.get(entry) != value:
                self._put(decoded, entry, value)

    def _delete(self, identity: Identity) -> None:
        self._problems.pop(identity, None)
        self._unreadable.pop(identity, None)
        self._stopgaps.discard(identity)
        if (before := self._objects.pop(identity, None)) is not None:
            for entry, value in _entries(before):
                self._drop(identity, entry, value)

    def _put(self, decoded: Decoded, entry: Entry, value: Value) -> None:
        identity, created, host = decoded.identity, decoded.created, entry[1]
        match value:
            case Slice():
                self._endpoints.put_slice(identity, value)
            case Pod():
                self._endpoints.put_pod(value)
            case Node():
                self._endpoints.put_node(value)
            case HostEndpoints():
                self._endpoints.put_listed(identity, value)
            case HostPods():
                self._endpoints.put_named(identity, value)
            case HostSelector():
                self._endpoints.put_selected(identity, value)
            case Workload():
                self._endpoints.put_workload(value)
            case Service():
                self._services.put(host, identity, created, value)
                self._endpoints.touch(value.namespace, host)
            case Rule():
                self._rules.put(host, identity, created, value)
            case DestinationPolicy():
                self._policies.put(host, identity, created, value)
            case RedisSettings():
                self._redis.put(host, identity, created, value)
            case RedisUpstream():
                self._upstreams.put(host, identity, created, value)
            case Application():
                self._applications.put(host, identity, created, value)
            case Secret():
                self._set_secret((identity.namespace, identity.name), value)

    def _drop(self, identity: Identity, entry: Entry, value: Value) -> None:
        host = entry[1]
        match value:
            case Slice():
                self._endpoints.drop_slice(identity)
            case Pod():
                self._endpoints.drop_pod(value)
            case Node():
                self._endpoints.drop_node(value)
            case HostEndpoints():
                self._endpoints.drop_listed(identity, value)
            case HostPods():
                self._endpoints.drop_named(identity, value)
            case HostSelector():
                self._endpoints.drop_selected(identity, value)
            case Workload():
                self._endpoints.drop_workload(value)
            case Service():
                self._services.drop(host, identity)
                self._endpoints.touch(value.namespace, host)
            case Rule():
                self._rules.drop(host, identity)
            case DestinationPolicy():
                self._policies.drop(host, identity)
            case RedisSettings():
                self._redis.drop(host, identity)
            case RedisUpstream():
                self._upstreams.drop(host, identity)
            case Application():
                self._applications.drop(host, identity)
            case Secret():
                self._set_secret((identity.namespace, identity.name), None)

    def _set_secret(self, key: tuple[str, str], secret: Secret | None) -> None:
        self._secrets_before.setdefault(key, self._secrets.get(key))
        self._secrets.pop(key, None)
        if secret is not None:
            self._secrets[key] = secret

    def _settle(self) -> Dirty:
        hosts = self._services.settle()
        for table in (self._rules, self._policies, self._redis, self._upstreams):
            hosts |= table.settle()
        endpoints = self._endpoints.settle()
        secrets = {
            k for k, before in self._secrets_before.items() if self._secrets.get(k) != before
        }
        self._secrets_before.clear()
        applications = self._applications.settle()
        return Dirty(
            frozenset(hosts), frozenset(endpoints), frozenset(secrets), frozenset(applications)
        )


def _entries(decoded: Decoded) -> Iterator[tuple[Entry, Value]]:
    """The values of an object, one for each host that they are about."""
    for value in decoded.values:
        match value:
            case Rule() | RedisSettings():
                for host in value.hosts:
                    yield (type(value), host), value
            case Service() | HostEndpoints() | HostPods() | HostSelector():
                yield (type(value), value.host), value
            case DestinationPolicy() | RedisUpstream():
                yield (type(value), value.host), value
            case Application():
                yield (Application, value.protocol), value
            case Slice() | Pod() | Node() | Workload() | Secret():
                yield (type(value), ""), value


def _service_rank(service: Service) -> int:
    """A KafkaCluster first: it may say what clients must not do. Kubernetes' own services before
    ServiceEntries.
    """
    if service.kafka is not None:
        return 0
    return 1 if service.ref.kind == KUBERNETES_SERVICE else 2
