"""Services in all their shapes, as a real API server completes them, become endpoints, where their
Nodes are; and what is written to objects beside what is read is no change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meltemi.controller.store.store import Store
from meltemi.protocols._pb.endpoint_pb2 import ClusterLoadAssignment
from meltemi.protocols.model import Discovery
from meltemi.xds.resource import ENDPOINT
from tests import make
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.definitions import send
from tests.cluster.following import following
from tests.cluster.objects import KINDS, apply, delete, service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.cluster

TWO_FAMILIES = ["--service-cluster-ip-range=10.0.0.0/16,fd00:10::/108"]
MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def dual(assets: Path, tmp_path: Path) -> AsyncGenerator[ApiServer]:
    """A server of both IP versions."""
    async with ApiServer(assets, tmp_path, TWO_FAMILIES) as server:
        yield server


def shaped(name: str, **spec: object) -> dict[str, Any]:
    body = service("default", name)
    body["spec"] |= spec
    return body


def slice_of(name: str, *addresses: str, ready: bool = True, **place: str) -> dict[str, Any]:
    """An EndpointSlice as the controller of a cluster makes it."""
    target = {"kind": "Pod", "namespace": "default", "name": "pod"}
    conditions = {"ready": ready, "serving": False, "terminating": False}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "name": f"{name}-{len(addresses[0])}",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv6" if ":" in addresses[0] else "IPv4",
        "ports": [{"name": "tcp-dubbo", "port": 20880}],
        "endpoints": [
            {"addresses": [each], "conditions": conditions, "targetRef": target, **place}
            for each in addresses
        ],
    }


async def test_services_of_all_shapes(dual: ApiServer) -> None:
    bodies = [
        shaped("headless", clusterIP="None"),
        shaped("external", type="ExternalName", externalName="orders.example"),
        shaped("both", ipFamilyPolicy="RequireDualStack"),
        shaped("unready", publishNotReadyAddresses=True),
        *(slice_of(name, "10.1.0.1") for name in ("headless", "both", "unready")),
        slice_of("both", "fd00::1:1"),
    ]
    async with (
        administrator(dual) as admin,
        following(dual.connect, kinds=[KINDS["Service"], KINDS["EndpointSlice"]]) as source,
    ):
        for body in bodies:
            await apply(admin, body)
            await source.hears(f"{body['kind']}/{body['metadata']['name']}")
        store = Store()
        store.apply(source.changes)

        def found(name: str) -> tuple[list[str], Discovery, list[tuple[str, tuple[str, ...]]]]:
            host = f"{name}.default.svc.cluster.local"
            (known,) = store.mesh.services[host]
            endpoints = store.mesh.endpoints["default", host]
            versions = ["6" if ":" in address else "4" for address in known.addresses]
            return versions, known.discovery, [(each.address, each.also) for each in endpoints]

        assert found("headless") == ([], Discovery.STATIC, [("10.1.0.1", ())])
        assert found("external") == ([], Discovery.DNS, [("orders.example", ())])
        assert found("both") == (["4", "6"], Discovery.STATIC, [("10.1.0.1", ("fd00::1:1",))])
        assert found("unready") == (["4"], Discovery.STATIC, [("10.1.0.1", ())])
        assert store.problems == {}
        # An alias that becomes a Service of its own, as kubectl would apply it.
        await apply(admin, shaped("external", type="ClusterIP", externalName=None))
        await source.hears("Service/external", times=2)
        store.apply(source.changes[-1:])
        assert store.mesh.services["external.default.svc.cluster.local"][0].addresses
        assert ("default", "external.default.svc.cluster.local") not in store.mesh.endpoints


async def test_a_status_or_a_field_that_is_not_read_is_no_change(dual: ApiServer) -> None:
    path = "/api/v1/namespaces/default/services/shop"
    address = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    async with administrator(dual) as admin:
        await apply(admin, shaped("shop", type="LoadBalancer"))
        async with following(dual.connect, kinds=[KINDS["Service"]]) as source:
            await source.until(lambda source: source.synced)
            for where, body in (
                (f"{path}/status", {"status": address}),
                (path, {"metadata": {"annotations": {"a.example/b": "c"}}}),
                (path, {"spec": {"externalTrafficPolicy": "Local"}}),
            ):
                answer = await send(admin, "PATCH", where, body, headers=MERGE)
                assert answer.status == 200, answer
            await apply(admin, service("default", "afterwards"))
            await source.hears("Service/afterwards")
            assert source.told == ["Service/shop", "Service/afterwards"]


def node(name: str, region: str) -> dict[str, Any]:
    places = {"region": region, "zone": f"{region}-1"}
    labels = {f"topology.kubernetes.io/{level}": value for level, value in places.items()}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def placed(store: Store) -> list[str]:
    """Where the proxies are told that the endpoints are."""
    cluster = "outbound|80||shop.default.svc.cluster.local"
    resource = make.snapshot(store.mesh).of_type(ENDPOINT)[cluster]
    told = ClusterLoadAssignment.FromString(resource.body)
    return [f"{each.locality.region}/{each.locality.zone}" for each in told.endpoints]


async def test_endpoints_are_where_the_labels_of_their_node_say(dual: ApiServer) -> None:
    kinds = [KINDS[kind] for kind in ("Service", "EndpointSlice", "Node")]
    beat = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    async with administrator(dual) as admin, following(dual.connect, kinds=kinds) as source:
        for body in (service("default", "shop"), slice_of("shop", "10.1.0.1", nodeName="n1")):
            await apply(admin, body)
            await source.hears(f"{body['kind']}/{body['metadata']['name']}")
        store = Store()
        store.apply(source.changes)
        assert placed(store) == ["/"]
        for number, region in enumerate(("eu", "us"), 1):
            await apply(admin, node("n1", region))
            await source.hears("Node/n1", number)
            dirty = store.apply(source.changes[-1:])
            assert (dirty.hosts, len(dirty.endpoints)) == (frozenset(), 1)
            assert placed(store) == [f"{region}/{region}-1"]
            path = "/api/v1/nodes/n1/status"
            assert (await send(admin, "PATCH", path, beat, headers=MERGE)).status == 200
        await delete(admin, "Node", "", "n1")
        await source.until(lambda source: source.deleted == ["Node/n1"])
        store.apply(source.changes[-1:])
        assert placed(store) == ["/"]
        assert source.told.count("Node/n1") == 2, "a heartbeat counts as a change"
