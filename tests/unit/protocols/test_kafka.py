"""Kafka: what clients are told, who is let in, and which listener leads to which broker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy

from meltemi.protocols._pb.kafka_broker_pb2 import KafkaBroker as Filter
from meltemi.protocols.model import Kafka, KafkaBroker, Port, Ref, Service
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Key
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.group import GroupKey
    from meltemi.protocols.model import Mesh
    from meltemi.protocols.problem import Problem

REF = Ref("KafkaCluster", "default", "events")
HOST = "kafka.example"
STOCK = make.capability("kafka_broker")
CONTRIB = make.capability()
BOUND = "127.0.0.1"
Told = tuple[str, int] | None


def kafka(
    *advertised: Told,
    domain: str = "",
    allowed: tuple[int, ...] = (),
    denied: tuple[int, ...] = (),
) -> Kafka:
    """Brokers from 1 on, one for each of what they advertise."""
    brokers = tuple(
        KafkaBroker(
            id=number,
            host=f"broker-{number}.{HOST}",
            port=9094 if domain else 19090 + number,
            entrance=HOST if domain else f"broker-{number}.{HOST}",
            ref=REF.at(f"spec.advertised[{number - 1}]"),
            advertised=told,
        )
        for number, told in enumerate(advertised, 1)
    )
    return Kafka(REF, HOST, brokers, domain, allowed, denied)


def mesh(cluster: Kafka) -> Mesh:
    front = Port(
        9094 if cluster.domain else 9092, "tcp-kafka", "kafka", REF, tls=bool(cluster.domain)
    )
    services = [Service(REF, HOST, "default", (front,), kafka=cluster)]
    for broker in cluster.brokers:
        port = replace(front, number=broker.port, listens=not cluster.domain)
        services.append(Service(REF, broker.host, "default", (port,), kafka=cluster, part_of=HOST))
    made = make.mesh(*services)
    for number, service in enumerate(services):
        endpoint = make.endpoint(number + 1, port=service.ports[0].number)
        made.endpoints[service.namespace, service.host] = (endpoint,)  # type: ignore[index]
    return made


def listeners(cluster: Kafka, key: GroupKey) -> dict[str, Listener]:
    found = make.snapshot(mesh(cluster), key).of_type(LISTENER)
    return {name: Listener.parse(resource.body) for name, resource in found.items()}


def tcp_proxies(listener: Listener) -> dict[str, TcpProxy]:
    """By server name, or by nothing."""
    found: dict[str, TcpProxy] = {}
    for chain in listener.filter_chains:
        match, config = chain.filter_chain_match, chain.filters[-1].typed_config
        assert config is not None
        found[match.server_names[0] if match else ""] = TcpProxy.parse(config.value)
    return found


def broker_filter(listener: Listener) -> Filter:
    first = listener.filter_chains[0].filters[0]
    assert first.typed_config is not None
    assert first.typed_config.type_url.endswith("kafka_broker.v3.KafkaBroker")
    return Filter.FromString(first.typed_config.value)


def stock(bind: str = BOUND) -> GroupKey:
    return make.group(proxy=STOCK, bind=bind)


def contrib(bind: str = BOUND) -> GroupKey:
    return make.group(proxy=CONTRIB, bind=bind)


# -- ways ------------------------------------------------------------------------------------------


def test_each_broker_has_a_listener_that_leads_to_it_and_to_nobody_else() -> None:
    found = listeners(kafka(None, None), stock())
    assert {name: tcp_proxies(each)[""].cluster for name, each in found.items()} == {
        "kafka.example_9092": "outbound|9092||kafka.example",
        "broker-1.kafka.example_19091": "outbound|19091||broker-1.kafka.example",
        "broker-2.kafka.example_19092": "outbound|19092||broker-2.kafka.example",
    }


@pytest.mark.parametrize(("brokers", "attempts"), [(1, 2), (2, 2), (5, 5)])
def test_a_client_gets_past_every_dead_broker(brokers: int, attempts: int) -> None:
    found = listeners(kafka(*[None] * brokers), stock())
    assert tcp_proxies(found["kafka.example_9092"])[""].max_connect_attempts == attempts


def test_all_clusters_are_checked() -> None:
    found = make.snapshot(mesh(kafka(None)), stock()).of_type(CLUSTER)
    assert {resource.warming for resource in found.values()} == {0.5}


def test_one_listener_leads_to_every_broker_by_server_name() -> None:
    found = listeners(kafka(None, None, domain="k.test"), stock())
    assert list(found) == ["kafka.example_9094"]
    (listener,) = found.values()
    assert [each.name for each in listener.listener_filters] == [
        "envoy.filters.listener.tls_inspector"
    ]
    assert {name: proxy.cluster for name, proxy in tcp_proxies(listener).items()} == {
        "k.test": "outbound|9094||kafka.example",
        "broker-1.k.test": "outbound|9094||broker-1.kafka.example",
        "broker-2.k.test": "outbound|9094||broker-2.kafka.example",
    }


@pytest.mark.parametrize("domain", ["", "k.test"])
def test_who_wants_the_cluster_gets_its_brokers_as_well(domain: str) -> None:
    narrowed = make.group(proxy=STOCK, services=[f"default/{HOST}"])
    at = mesh(kafka(None, None, domain=domain))
    assert make.resources(make.snapshot(at, narrowed)) == make.resources(make.snapshot(at, stock()))


def test_without_the_inspector_of_server_names_nobody_is_served() -> None:
    key = make.group(proxy=make.capability("TlsInspector"))
    snapshot = make.snapshot(mesh(kafka(None, domain="k.test")), key)
    assert not snapshot.of_type(LISTENER)
    assert endpoints(snapshot.get(Key(ENDPOINT, "outbound|9094||kafka.example"))) == 0


def endpoints(resource: object) -> int:
    """How many there are in an assignment."""
    return bytes(getattr(resource, "body", b"")).count(b"10.0.0.")


# -- API keys --------------------------------------------------------------------------------------


def test_a_proxy_that_has_the_filter_looks_at_api_keys() -> None:
    found = listeners(kafka(None, allowed=(0, 18), denied=(20,)), contrib())
    settings = [broker_filter(listener) for listener in found.values()]
    assert [(list(s.api_keys_allowed), list(s.api_keys_denied)) for s in settings] == [
        ([0, 18], [20])
    ] * 2


@pytest.mark.parametrize(
    ("key", "domain"), [(stock(), ""), (contrib(), "k.test")], ids=["stock", "within TLS"]
)
@pytest.mark.parametrize(("allowed", "denied"), [((0,), ()), ((), (20,))])
def test_where_api_keys_cannot_be_looked_at_nobody_is_served(
    key: GroupKey, domain: str, allowed: tuple[int, ...], denied: tuple[int, ...]
) -> None:
    at = mesh(kafka(None, domain=domain, allowed=allowed, denied=denied))
    snapshot = make.snapshot(at, key)
    assert not snapshot.of_type(LISTENER)
    assert [endpoints(each) for each in snapshot.of_type(ENDPOINT).values()] == [0, 0]
    assert codes(make.problems(at, key)) == ["MEL0420"]


# -- what clients are told -------------------------------------------------------------------------


def codes(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.code for problem in problems]


def told(cluster: Kafka, key: GroupKey) -> list[tuple[str, str]]:
    return [(p.code, p.about.field) for p in make.problems(mesh(cluster), key)]


FIRST = ("MEL0421", "spec.advertised[0]")


@pytest.mark.parametrize(
    ("advertised", "bind", "expected"),
    [
        ((BOUND, 19091), BOUND, []),
        ((BOUND, 19092), BOUND, [FIRST]),
        (("10.9.9.9", 19091), BOUND, [FIRST]),
        (("10.9.9.9", 19091), "0.0.0.0", []),
        (("10.9.9.9", 9092), "0.0.0.0", [FIRST]),
        (("::1", 19091), "0:0::1", []),
        # Who knows what a name means to a client.
        (("front.example", 19091), BOUND, []),
        (("front.example", 9092), BOUND, [FIRST]),
        # Without a listener nothing can be compared.
        (("10.9.9.9", 9092), "", []),
    ],
)
def test_a_broker_must_advertise_where_the_proxy_listens_for_it(
    advertised: tuple[str, int], bind: str, expected: list[tuple[str, str]]
) -> None:
    assert told(kafka(advertised), stock(bind=bind)) == expected


def test_the_port_is_the_one_that_the_proxy_really_has() -> None:
    mapped = make.group(proxy=STOCK, ports=((f"broker-1.{HOST}:19091", 29091),))
    assert told(kafka((BOUND, 29091)), mapped) == []
    assert told(kafka((BOUND, 19091)), mapped) == [FIRST]


@pytest.mark.parametrize(
    ("advertised", "expected"),
    [
        (("Broker-1.k.test", 9094), []),
        (("broker-2.k.test", 9094), [FIRST]),
        (("broker-1.k.test", 9092), [FIRST]),
        ((BOUND, 9094), [FIRST]),
    ],
)
def test_with_server_names_the_name_must_be_advertised(
    advertised: tuple[str, int], expected: list[tuple[str, str]]
) -> None:
    assert told(kafka(advertised, domain="k.test"), stock()) == expected


@pytest.mark.parametrize("bind", [BOUND, "0.0.0.0", ""])
def test_a_broker_that_advertises_itself_is_told_for_every_proxy_in_the_same_words(
    bind: str,
) -> None:
    cluster = kafka(("10.0.0.1", 9092))
    (broker,) = cluster.brokers
    itself = replace(cluster, brokers=(replace(broker, bypasses=True),))
    (problem,) = make.problems(mesh(itself), stock(bind=bind))
    assert problem.code == "MEL0421"
    assert "10.0.0.1:9092, its own address" in problem.cause
    assert BOUND not in problem.next_step


def test_nothing_written_is_told_once_for_all_brokers() -> None:
    (problem,) = make.problems(mesh(kafka(None, None, (BOUND, 19093))), stock())
    assert (problem.code, problem.about.field) == ("MEL0422", "spec.advertised")
    assert "1, 2" in problem.cause


def test_a_proxy_that_has_the_filter_tells_clients_its_own_addresses() -> None:
    cluster = kafka(("10.0.0.1", 9092), None)
    for listener in listeners(cluster, contrib()).values():
        rules = broker_filter(listener).id_based_broker_address_rewrite_spec.rules
        assert [(r.id, r.host, r.port) for r in rules] == [(1, BOUND, 19091), (2, BOUND, 19092)]
    assert told(cluster, contrib()) == []


def test_an_address_that_stands_for_all_is_told_to_nobody() -> None:
    key = contrib(bind="0.0.0.0")
    cluster = kafka(("10.9.9.9", 19091), None)
    for listener in listeners(cluster, key).values():
        assert not broker_filter(listener).HasField("id_based_broker_address_rewrite_spec")
    assert told(cluster, key) == [("MEL0422", "spec.advertised")]


# -- ports of Kafka that no KafkaCluster describes -------------------------------------------------


@pytest.mark.parametrize(("key", "filters"), [(stock(), 1), (contrib(), 2)])
def test_a_port_that_only_says_kafka_is_passed_on(key: GroupKey, filters: int) -> None:
    at = make.mesh(make.service(protocol="kafka", port=9092))
    (resource,) = make.snapshot(at, key).of_type(LISTENER).values()
    (chain,) = Listener.parse(resource.body).filter_chains
    assert len(chain.filters) == filters
    assert make.problems(at, key) == ()


def test_connections_are_not_split_by_weights() -> None:
    route = make.route(0, make.to("v1", 80), make.to("v2", 20))
    at = make.mesh(make.service(protocol="kafka"), make.policy(), make.rule(route))
    assert "MEL0314" in make.codes(at, stock())
