"""What proxies were sent and said is told per stream and type, and on the objects behind it."""

from __future__ import annotations

from meltemi.controller.proxies import Member, StreamRecord, describe, refusal_problems
from meltemi.controller.unsupported import Unsupported
from meltemi.protocols.model import Ref
from meltemi.testing.resources import RULES, cluster, listener
from meltemi.xds.dialect import Delta
from meltemi.xds.peer import Identity, Peer
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Resource
from meltemi.xds.session import Acked, Nacked, Pushed, Session, Subscribed
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status
from meltemi.xds.wire import Node
from tests import make

ORIGIN = Ref("ServiceEntry", "default", "cache", 0, "spec.ports[0]")
PEER = Peer("ipv4:127.0.0.1:40000", Identity("cluster.local", "/ns/shop/sa/edge"))
WORLD = Snapshot.of([cluster("a"), listener("l", "a")])


def member(*lacking: Unsupported, only: str = "") -> Member:
    session = Session(Delta(), RULES, WORLD, node_id="edge", identifier="", drain=1.0, only=only)
    return Member(make.group(namespace="shop"), session, WORLD, lambda _: lacking)


def opened() -> Status:
    status = Status()
    node = Node("edge", "", {"meltemi": {"bind": "vip"}}, version=(1, 40))
    status.opened(1, node, PEER, 10.0)
    return status


def refused(message: str) -> Status:
    status = opened()
    cache = Resource(LISTENER, "cache_6379", "v1", b"", origins=(ORIGIN,))
    status.said(1, Subscribed(LISTENER), 10.0)
    status.said(1, Nacked(LISTENER, "v1", "1", message, (cache,), certain=True), 11.0)
    return status


def described(status: Status, *lacking: Unsupported, now: float = 12.0) -> StreamRecord:
    (record,) = describe(status, {1: member(*lacking)}, now)
    return record


def test_a_refusal_is_a_finding_on_the_object_with_the_proxys_words() -> None:
    (problem,) = refusal_problems(refused("why"))
    assert (problem.code, problem.about) == ("MEL0503", ORIGIN)
    assert problem.cause == "proxy edge refused Listener cache_6379: why"


def test_an_address_in_use_is_the_machines_fault_and_not_the_authors() -> None:
    (problem,) = refusal_problems(refused("cannot bind: Address already in use"))
    assert problem.next_step.startswith("free the port")


def test_a_stream_is_described_with_who_it_is() -> None:
    record = described(opened())
    assert record == {
        "stream": 1,
        "id": "edge",
        "cluster": "",
        "namespace": "shop",
        "version": "1.40",
        "dialect": "delta",
        "address": "ipv4:127.0.0.1:40000",
        "identity": "spiffe://cluster.local/ns/shop/sa/edge",
        "metadata": {"bind": "vip"},
        "connected": 2.0,
        "types": record["types"],
        "unsupported": [],
    }


def test_a_refusal_stands_on_its_type_with_its_age_and_origin() -> None:
    assert described(refused("why"))["types"][LISTENER] == {
        "state": "NACKED",
        "since": 1.0,
        "subscribed": True,
        "version": "",
        "unanswered": 0,
        "refusals": [
            {
                "message": "why",
                "names": ["cache_6379"],
                "certain": True,
                "origins": [str(ORIGIN)],
                "since": 1.0,
            }
        ],
    }


def test_what_is_sent_is_pending_until_it_is_answered_and_its_age_is_told() -> None:
    status = opened()
    status.said(1, Subscribed(CLUSTER), 10.0)
    status.said(1, Pushed(CLUSTER, "v1", "1", 9), 10.5)
    status.said(1, Pushed(CLUSTER, "v2", "2", 9), 11.5)
    found = described(status)["types"][CLUSTER]
    assert (found["state"], found["since"], found["unanswered"]) == ("PENDING", 1.5, 2)
    status.said(1, Acked(CLUSTER, "v2", "2", frozenset({"a"})), 11.75)
    found = described(status)["types"][CLUSTER]
    assert (found["state"], found["since"], found["version"]) == ("ACKED", 0.25, "v2")


def test_what_exists_and_is_not_asked_for_is_told_and_what_does_not_exist_is_left_out() -> None:
    types = described(opened())["types"]
    assert {url: found["state"] for url, found in types.items()} == {
        CLUSTER: "NOT SUBSCRIBED",
        LISTENER: "NOT SUBSCRIBED",
    }
    assert types[CLUSTER]["since"] == 2.0


def test_a_stream_of_one_type_is_not_blamed_for_the_others() -> None:
    (record,) = describe(opened(), {1: member(only=ENDPOINT)}, 12.0)
    assert record["types"] == {}


def test_a_protocol_that_the_proxy_cannot_speak_is_told_with_its_ports() -> None:
    lacking = Unsupported("dubbo", "none of dubbo's engines", (ORIGIN,))
    assert described(opened(), lacking)["unsupported"] == [
        {"protocol": "dubbo", "reason": "none of dubbo's engines", "origins": [str(ORIGIN)]}
    ]


def test_streams_of_one_proxy_are_not_merged() -> None:
    status = opened()
    status.opened(2, Node("edge", "", {}), PEER, 11.0)
    records = describe(status, {1: member(), 2: member()}, 12.0)
    assert [(record["stream"], record["connected"]) for record in records] == [(1, 2.0), (2, 1.0)]


def test_a_stream_that_is_just_leaving_is_left_out() -> None:
    assert describe(opened(), {}, 12.0) == []
