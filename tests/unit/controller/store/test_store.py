"""Changes of objects become a mesh, and say what they touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meltemi.controller.store.objects import (
    Decoded,
    Delete,
    HostEndpoints,
    Identity,
    Invalid,
    Pod,
    Slice,
    SliceEndpoint,
    Upsert,
    Value,
)
from meltemi.controller.store.store import ObjectState, Store
from meltemi.protocols.model import (
    DestinationPolicy,
    Dirty,
    Discovery,
    Endpoint,
    Kafka,
    Port,
    RedisSettings,
    Ref,
    Rule,
    Secret,
    Service,
    UnreadableCredentials,
)
from meltemi.protocols.problem import Problem

HOST = "shop.demo.svc.cluster.local"
SHOP = frozenset({HOST})
UNCHANGED = Dirty()


def identity(kind: str, name: str = "shop", namespace: str = "demo") -> Identity:
    return Identity("", kind, namespace, name)


def upsert(
    kind: str, *values: Value, name: str = "shop", namespace: str = "demo", created: str = ""
) -> Upsert:
    return Upsert(Decoded(identity(kind, name, namespace), values, created=created))


def service(
    kind: str = "Service",
    *,
    name: str = "shop",
    namespace: str = "demo",
    ports: tuple[int, ...] = (20880,),
    created: str = "",
) -> Upsert:
    ref = Ref(kind, namespace, name)
    listed = tuple(Port(number, f"p{number}", "dubbo", ref) for number in ports)
    found = Service(ref, HOST, namespace, listed)
    return upsert(kind, found, name=name, namespace=namespace, created=created)


def slice_of(
    *endpoints: SliceEndpoint, name: str = "shop-1", ports: dict[str, int] | None = None
) -> Upsert:
    numbers = {"p20880": 30880} if ports is None else ports
    return upsert("EndpointSlice", Slice("demo", "shop", numbers, endpoints), name=name)


def pod(version: str, *addresses: str, name: str = "pod") -> Upsert:
    return upsert("Pod", Pod("demo", name, addresses, {"version": version}), name=name)


def rule(kind: str = "MetaRouter", *, name: str = "shop", created: str = "") -> Upsert:
    found = Rule(Ref(kind, "demo", name), (HOST,), (), created)
    return upsert(kind, found, name=name, created=created)


def owners(store: Store) -> list[str]:
    return [found.ref.name for found in store.mesh.rules.get(HOST, ())]


def endpoints(store: Store) -> list[tuple[str, dict[str, str], bool]]:
    found = store.mesh.endpoints.get(("demo", HOST), ())
    return [(each.address, dict(each.labels), each.ready) for each in found]


def test_every_kind_of_value_has_its_place() -> None:
    store = Store()
    policy = DestinationPolicy(Ref("DestinationRule", "demo", "d"), HOST)
    settings = RedisSettings(Ref("RedisService", "demo", "r"), (HOST, "other"))
    secret = Secret(Ref("Secret", "demo", "s"), {"password": "x"})
    dirty = store.apply(
        [
            upsert("DestinationRule", policy, name="d"),
            upsert("RedisService", settings, name="r"),
            upsert("Secret", secret, name="s"),
        ]
    )
    assert dirty == Dirty(frozenset({HOST, "other"}), secrets=frozenset({("demo", "s")}))
    assert store.mesh.policies == {HOST: (policy,)}
    assert store.mesh.redis == {HOST: (settings,), "other": (settings,)}
    assert store.mesh.secrets == {("demo", "s"): secret}
    assert store.count == 3


def test_the_same_object_again_is_not_dirty() -> None:
    store = Store()
    changes = [service(), slice_of(SliceEndpoint("10.0.0.1")), rule(), pod("v1", "10.0.0.1")]
    assert store.apply(changes)
    assert store.apply(changes) == UNCHANGED


def test_what_cancels_out_within_one_batch_is_not_dirty() -> None:
    store = Store()
    store.apply([rule()])
    assert store.apply([Delete(identity("MetaRouter")), rule()]) == UNCHANGED


def test_a_deleted_object_leaves_nothing_behind() -> None:
    store = Store()
    store.apply([service(), slice_of(SliceEndpoint("10.0.0.1")), rule()])
    kinds = [("Service", "shop"), ("EndpointSlice", "shop-1"), ("MetaRouter", "shop")]
    dirty = store.apply([Delete(identity(kind, name)) for kind, name in kinds])
    assert dirty == Dirty(SHOP, SHOP)
    assert (store.mesh.services, store.mesh.rules, store.mesh.endpoints) == ({}, {}, {})
    assert store.count == 0


def test_deleting_what_was_never_there_is_nothing() -> None:
    assert Store().apply([Delete(identity("MetaRouter"))]) == UNCHANGED


def test_a_rule_that_moves_to_another_host_dirties_both() -> None:
    store = Store()
    store.apply([rule()])
    moved = upsert("MetaRouter", Rule(Ref("MetaRouter", "demo", "shop"), ("other",), ()))
    assert store.apply([moved]).hosts == {HOST, "other"}
    assert list(store.mesh.rules) == ["other"]


def test_an_invalid_object_keeps_its_last_good_state_and_tells_why() -> None:
    store = Store()
    store.apply([rule()])
    problem = Problem("MEL0102", Ref("MetaRouter", "demo", "shop"), "cause", "next")
    assert store.apply([Invalid(identity("MetaRouter"), (problem,))]) == UNCHANGED
    assert owners(store) == ["shop"]
    assert store.problems == {identity("MetaRouter"): (problem,)}


def test_nothing_stays_of_an_object_when_another_one_of_its_name_cannot_be_read() -> None:
    store = Store()
    first = replace(rule().decoded, uid="first")
    problem = Problem("MEL0102", Ref("MetaRouter", "demo", "shop", 1), "cause", "next")
    store.apply([Upsert(first)])
    store.apply([Invalid(first.identity, (problem,), uid="first")])
    assert owners(store) == ["shop"], "the control"
    store.apply([Invalid(first.identity, (problem,), uid="second")])
    assert owners(store) == []
    assert store.state(first.identity) == ObjectState(1, readable=False, uid="second")


def test_problems_go_with_the_next_good_state() -> None:
    store = Store()
    problem = Problem("MEL0102", Ref("MetaRouter", "demo", "shop"), "cause", "next")
    store.apply([Invalid(identity("MetaRouter"), (problem,))])
    assert store.count == 1
    store.apply([rule()])
    assert store.problems == {}


def test_what_stands_for_an_object_that_was_never_readable_goes_when_it_is() -> None:
    def locked(reason: str) -> tuple[RedisSettings, ...]:
        about = Ref("RedisService", "demo", "shop")
        return (RedisSettings(about, (HOST,), UnreadableCredentials(about.at(reason))),)

    def reject(*stopgap: RedisSettings) -> Dirty:
        problem = Problem("MEL0102", Ref("RedisService", "demo", "shop"), "cause", "next")
        return store.apply([Invalid(identity("RedisService"), (problem,), stopgap)])

    store = Store()
    good = RedisSettings(Ref("RedisService", "demo", "shop"), (HOST,))
    assert reject(*locked("a")).hosts == SHOP
    assert store.mesh.redis[HOST] == locked("a")
    assert reject(*locked("a")) == UNCHANGED
    assert reject(*locked("b")).hosts == SHOP
    assert len(store.problems) == store.count == 1
    reject()
    assert HOST not in store.mesh.redis
    reject(*locked("a"))
    store.apply([upsert("RedisService", good)])
    assert reject(*locked("a")) == UNCHANGED
    assert store.mesh.redis[HOST] == (good,)
    store.apply([Delete(identity("RedisService"))])
    reject(*locked("a"))
    assert store.mesh.redis[HOST] == locked("a")


@pytest.mark.parametrize("about", [Identity.of_file("a.yaml"), Identity.of_resource("pods", "n")])
def test_what_is_wrong_with_a_file_or_with_a_whole_kind_is_no_object(about: Identity) -> None:
    store = Store()
    problem = Problem("MEL0101", about.ref(), "cause", "next")
    store.apply([Invalid(about, (problem,))])
    assert store.problems == {about: (problem,)}
    assert store.count == 0


def test_a_pod_of_both_ip_versions_is_one_endpoint_whichever_slice_comes_first() -> None:
    four = slice_of(SliceEndpoint("10.0.0.1", pod=("demo", "pod")), name="four")
    six = slice_of(SliceEndpoint("fd00::1", pod=("demo", "pod")), name="six")
    for changes in ([four, six], [six, four]):
        store = Store()
        store.apply([service(), *changes])
        (found,) = store.mesh.endpoints["demo", HOST]
        assert (found.address, found.also) == ("10.0.0.1", ("fd00::1",))


def test_kubernetes_services_come_before_service_entries_whatever_their_age() -> None:
    store = Store()
    store.apply([service("ServiceEntry", created="2020"), service(created="2024")])
    assert [found.ref.kind for found in store.mesh.services[HOST]] == ["Service", "ServiceEntry"]


def test_metarouters_come_before_redis_services() -> None:
    store = Store()
    store.apply([rule("RedisService", name="a"), rule("MetaRouter", name="b")])
    assert owners(store) == ["b", "a"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("a", "2024"), ("b", "2023"), ["b", "a"]),
        (("a", "2024"), ("b", ""), ["a", "b"]),
        (("a", ""), ("b", "2023"), ["a", "b"]),
        (("a", "2024"), ("b", "2024"), ["a", "b"]),
    ],
)
def test_age_decides_if_all_have_one_else_the_name(
    first: tuple[str, str], second: tuple[str, str], expected: list[str]
) -> None:
    store = Store()
    store.apply([rule(name=name, created=created) for name, created in (second, first)])
    assert owners(store) == expected


def test_a_slice_is_joined_with_its_service_by_the_ports_name() -> None:
    store = Store()
    assert store.apply([slice_of(SliceEndpoint("10.0.0.1"))]) == UNCHANGED
    assert store.apply([service(ports=(20880, 7))]) == Dirty(SHOP, SHOP)
    (found,) = store.mesh.endpoints["demo", HOST]
    assert found == Endpoint("10.0.0.1", {20880: 30880})


def test_labels_come_from_the_pod_that_the_slice_names() -> None:
    store = Store()
    endpoint = SliceEndpoint("10.0.0.1", pod=("demo", "pod"))
    store.apply([service(), slice_of(endpoint), pod("v9", "10.0.0.1", name="other")])
    assert endpoints(store) == [("10.0.0.1", {}, True)]
    assert store.apply([pod("v1")]) == Dirty(endpoints=SHOP)
    assert endpoints(store) == [("10.0.0.1", {"version": "v1"}, True)]


def test_labels_come_from_the_one_pod_that_has_the_address() -> None:
    store = Store()
    store.apply([service(), slice_of(SliceEndpoint("10.0.0.1")), pod("v1", "10.0.0.1")])
    assert endpoints(store) == [("10.0.0.1", {"version": "v1"}, True)]
    assert store.apply([pod("v2", "10.0.0.1", name="twin")]) == Dirty(endpoints=SHOP)
    assert endpoints(store) == [("10.0.0.1", {}, True)]
    assert store.apply([Delete(identity("Pod", "pod"))]) == Dirty(endpoints=SHOP)
    assert endpoints(store) == [("10.0.0.1", {"version": "v2"}, True)]


def test_a_pod_that_backs_nothing_dirties_nothing() -> None:
    store = Store()
    store.apply([service(), slice_of(SliceEndpoint("10.0.0.1"))])
    assert store.apply([pod("v1", "10.0.0.2", name="job")]) == UNCHANGED


def test_endpoints_on_one_address_are_told_apart_by_their_ports() -> None:
    store = Store()
    one = slice_of(SliceEndpoint("127.0.0.1", pod=("demo", "a")), name="a", ports={"p20880": 1})
    two = slice_of(SliceEndpoint("127.0.0.1", pod=("demo", "b")), name="b", ports={"p20880": 2})
    store.apply([service(), one, two, pod("v1", name="a"), pod("v2", name="b")])
    found = {
        each.ports[20880]: each.labels["version"] for each in store.mesh.endpoints["demo", HOST]
    }
    assert found == {1: "v1", 2: "v2"}


def test_an_endpoint_that_two_slices_list_is_one_and_ready_if_one_says_so() -> None:
    store = Store()
    old = slice_of(SliceEndpoint("10.0.0.1", ready=False), name="old")
    new = slice_of(
        SliceEndpoint("10.0.0.1"), name="new", ports={"p20880": 30880, "p7": 70, "unknown": 1}
    )
    store.apply([service(ports=(20880, 7)), old, new])
    (found,) = store.mesh.endpoints["demo", HOST]
    assert (found.ready, found.ports) == (True, {20880: 30880, 7: 70})


def test_endpoints_are_those_of_the_object_that_wins_the_host() -> None:
    store = Store()
    listed = HostEndpoints("demo", HOST, (Endpoint("10.9.9.9", {20880: 1}),))
    entry = service("ServiceEntry").decoded
    store.apply([Upsert(Decoded(entry.identity, (*entry.values, listed)))])
    assert [address for address, _, _ in endpoints(store)] == ["10.9.9.9"]
    dirty = store.apply([service(), slice_of(SliceEndpoint("10.0.0.1"))])
    assert dirty == Dirty(SHOP, SHOP)
    assert [address for address, _, _ in endpoints(store)] == ["10.0.0.1"]
    store.apply([Delete(identity("Service"))])
    assert [address for address, _, _ in endpoints(store)] == ["10.9.9.9"]


def test_a_service_that_stands_for_a_name_has_that_and_no_slices() -> None:
    store = Store()
    plain = service().decoded
    (usual,) = plain.values
    assert isinstance(usual, Service)
    alias = replace(usual, discovery=Discovery.DNS)
    listed = HostEndpoints("demo", HOST, (Endpoint("shop.example", {20880: 20880}),))
    store.apply([slice_of(SliceEndpoint("10.0.0.1")), upsert("Service", alias, listed)])
    assert [address for address, _, _ in endpoints(store)] == ["shop.example"]
    store.apply([service()])
    assert [address for address, _, _ in endpoints(store)] == ["10.0.0.1"]


def test_a_readiness_change_is_no_change_of_the_host() -> None:
    store = Store()
    store.apply([service(), slice_of(SliceEndpoint("10.0.0.1"))])
    assert store.apply([slice_of(SliceEndpoint("10.0.0.1", ready=False))]) == Dirty(endpoints=SHOP)
    assert endpoints(store) == [("10.0.0.1", {}, False)]


def test_the_mesh_is_a_live_view_that_nobody_can_write() -> None:
    store = Store()
    mesh = store.mesh
    store.apply([rule()])
    assert list(mesh.rules) == [HOST]
    with pytest.raises(TypeError):
        mesh.rules["x"] = ()  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def test_a_kafkacluster_comes_before_a_service_of_its_host_even_if_it_is_younger() -> None:
    ref = Ref("KafkaCluster", "demo", "events")
    ports = (Port(9092, "tcp-kafka", "kafka", ref),)
    guarded = Service(ref, HOST, "demo", ports, kafka=Kafka(ref, HOST, ()))
    store = Store()
    store.apply([service(created="2024-01-01T00:00:00Z")])
    store.apply([upsert("KafkaCluster", guarded, name="events", created="2025-01-01T00:00:00Z")])
    assert [found.ref.kind for found in store.mesh.services[HOST]] == ["KafkaCluster", "Service"]
