"""The same objects give the same mesh, whatever the way that led to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.decode import decode
from meltemi.controller.store.objects import Change, Delete, Upsert
from meltemi.controller.store.store import Store
from meltemi.protocols.model import Dirty, Mesh

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from meltemi.controller.store.objects import Identity

Key = TypeVar("Key")

NAMES = st.sampled_from(["a", "b"])
NAMESPACES = st.sampled_from(["x", "y"])
AGES = st.sampled_from(["", "2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z"])
ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2"])
HOSTS = st.sampled_from(["a", "a.x.svc.cluster.local", "org.shop"])


def written(
    version: str,
    kind: str,
    name: str,
    namespace: str,
    created: str,
    labels: dict[str, str],
    **body: object,
) -> Upsert:
    metadata = {
        "name": name,
        "namespace": namespace,
        "creationTimestamp": created,
        "labels": labels,
    }
    outcome = decode({"apiVersion": version, "kind": kind, "metadata": metadata, **body})
    assert isinstance(outcome, Upsert), outcome
    return outcome


def service(name: str, namespace: str, created: str, port: int) -> Upsert:
    spec = {"ports": [{"name": "tcp-dubbo", "port": port}]}
    return written("v1", "Service", name, namespace, created, {}, spec=spec)


def entry(name: str, namespace: str, created: str, host: str, address: str) -> Upsert:
    spec = {
        "hosts": [host],
        "resolution": "STATIC",
        "ports": [{"name": "tcp-dubbo", "number": 1}],
        "endpoints": [{"address": address}],
    }
    version = "networking.istio.io/v1"
    return written(version, "ServiceEntry", name, namespace, created, {}, spec=spec)


def selecting(name: str, namespace: str, host: str, label: str) -> Upsert:
    spec = {
        "hosts": [host],
        "resolution": "STATIC",
        "ports": [{"name": "tcp-dubbo", "number": 1}],
        "workloadSelector": {"labels": {"version": label}},
    }
    version = "networking.istio.io/v1"
    return written(version, "ServiceEntry", name, namespace, "", {}, spec=spec)


def workload(name: str, namespace: str, address: str, label: str) -> Upsert:
    spec = {"address": address, "labels": {"version": label}}
    version = "networking.istio.io/v1"
    return written(version, "WorkloadEntry", name, namespace, "", {}, spec=spec)


def slice_of(
    name: str, namespace: str, owner: str, address: str, pod: str | None, node: str | None
) -> Upsert:
    target = None if pod is None else {"kind": "Pod", "name": pod}
    body = {
        "ports": [{"name": "tcp-dubbo", "port": 9}],
        "endpoints": [{"addresses": [address], "targetRef": target, "nodeName": node}],
    }
    labels = {"kubernetes.io/service-name": owner}
    version = "discovery.k8s.io/v1"
    return written(version, "EndpointSlice", name, namespace, "", labels, **body)


def pod(name: str, namespace: str, address: str, label: str, node: str | None) -> Upsert:
    body = {"spec": {"nodeName": node}, "status": {"podIP": address}}
    return written("v1", "Pod", name, namespace, "", {"version": label}, **body)


def machine(name: str, region: str) -> Upsert:
    return written("v1", "Node", name, "", "", {"topology.kubernetes.io/region": region})


def router(name: str, namespace: str, created: str, host: str, label: str) -> Upsert:
    spec = {"hosts": [host], "routes": [{"route": [{"destination": {"host": label}}]}]}
    version = "metaprotocol.aeraki.io/v1alpha1"
    return written(version, "MetaRouter", name, namespace, created, {}, spec=spec)


def redis_service(name: str, namespace: str, created: str, hosts: list[str]) -> Upsert:
    spec = {"host": hosts, "redis": [{"route": {"host": "a"}}]}
    version = "redis.aeraki.io/v1alpha1"
    return written(version, "RedisService", name, namespace, created, {}, spec=spec)


def secret(name: str, namespace: str, label: str) -> Upsert:
    return written("v1", "Secret", name, namespace, "", {}, stringData={"password": label})


def application(name: str, created: str, protocol: str, codec: str) -> Upsert:
    spec = {"protocol": protocol, "codec": codec}
    version = "metaprotocol.aeraki.io/v1alpha1"
    return written(version, "ApplicationProtocol", name, "", created, {}, spec=spec)


UPSERTS = st.one_of(
    st.builds(service, NAMES, NAMESPACES, AGES, st.sampled_from([1, 2])),
    st.builds(entry, NAMES, NAMESPACES, AGES, HOSTS, ADDRESSES),
    st.builds(selecting, NAMES, NAMESPACES, HOSTS, NAMES),
    st.builds(workload, NAMES, NAMESPACES, ADDRESSES, NAMES),
    st.builds(slice_of, NAMES, NAMESPACES, NAMES, ADDRESSES, st.none() | NAMES, st.none() | NAMES),
    st.builds(pod, NAMES, NAMESPACES, ADDRESSES, NAMES, st.none() | NAMES),
    st.builds(machine, NAMES, NAMES),
    st.builds(router, NAMES, NAMESPACES, AGES, HOSTS, NAMES),
    st.builds(redis_service, NAMES, NAMESPACES, AGES, st.lists(HOSTS, min_size=1, max_size=2)),
    st.builds(secret, NAMES, NAMESPACES, NAMES),
    st.builds(application, NAMES, AGES, NAMES, NAMES),
)
CHANGES = UPSERTS | UPSERTS.map(lambda change: Delete(change.decoded.identity))
BATCHES = st.lists(st.lists(CHANGES, max_size=4), max_size=12)


def left(batches: list[list[Change]]) -> list[Change]:
    """What a list of the objects would say after these events."""
    objects: dict[Identity, Change] = {}
    for change in (change for batch in batches for change in batch):
        if isinstance(change, Upsert):
            objects[change.decoded.identity] = change
        elif isinstance(change, Delete):
            objects.pop(change.identity, None)
    return list(objects.values())


def copied(mesh: Mesh) -> Mesh:
    """As it is now: the store's own is a live view."""
    return Mesh(
        services=dict(mesh.services),
        endpoints=dict(mesh.endpoints),
        rules=dict(mesh.rules),
        policies=dict(mesh.policies),
        redis=dict(mesh.redis),
        upstreams=dict(mesh.upstreams),
        secrets=dict(mesh.secrets),
        applications=dict(mesh.applications),
    )


def differing(before: Mapping[Key, object], after: Mapping[Key, object]) -> frozenset[Key]:
    keys = before.keys() | after.keys()
    return frozenset(key for key in keys if before.get(key) != after.get(key))


@given(BATCHES, st.randoms(use_true_random=False))
def test_events_and_a_fresh_list_in_any_order_give_the_same_mesh(
    batches: list[list[Change]], random: Random
) -> None:
    by_events, by_list = Store(), Store()
    for batch in batches:
        by_events.apply(batch)
    objects = left(batches)
    random.shuffle(objects)
    by_list.apply(objects)
    assert copied(by_events.mesh) == copied(by_list.mesh)
    assert by_events.count == by_list.count == len(objects)


@given(BATCHES)
def test_dirty_is_exactly_what_differs(batches: list[list[Change]]) -> None:
    store = Store()
    for batch in batches:
        before = copied(store.mesh)
        dirty = store.apply(batch)
        after = store.mesh
        endpoints = differing(before.endpoints, after.endpoints)
        assert dirty == Dirty(
            hosts=differing(before.services, after.services)
            | differing(before.rules, after.rules)
            | differing(before.policies, after.policies)
            | differing(before.redis, after.redis)
            | differing(before.upstreams, after.upstreams),
            endpoints=frozenset(host for _, host in endpoints),
            secrets=differing(before.secrets, after.secrets),
            applications=differing(before.applications, after.applications),
        )
