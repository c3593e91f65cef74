"""What is known of each stream."""

from __future__ import annotations

from meltemi.testing.resources import cluster
from meltemi.xds.peer import Peer
from meltemi.xds.resource import CLUSTER, LISTENER
from meltemi.xds.session import Acked, Nacked, Subscribed, Unsubscribed
from meltemi.xds.status import SUSPECTS, Refusal, Status, TypeStatus
from meltemi.xds.wire import Node

NODE = Node("gateway-1", "gateways", {})
PEER = Peer("ipv4:127.0.0.1:40000")


def acked(version: str, *names: str) -> Acked:
    return Acked(CLUSTER, version, "n", frozenset(names))


def nacked(*names: str, named: bool = True) -> Nacked:
    return Nacked(CLUSTER, "v2", "2", "bad", tuple(cluster(name) for name in names), named)


def opened() -> Status:
    status = Status()
    status.opened(1, NODE, PEER, 10.0)
    return status


def types(status: Status) -> dict[str, TypeStatus]:
    [stream] = status.streams()
    return dict(stream.types)


def test_a_stream_is_known_from_its_first_request_to_its_end() -> None:
    status = opened()
    status.opened(2, NODE, PEER, 11.0)
    assert [(stream.node, stream.since) for stream in status.streams()] == [
        (NODE, 10.0),
        (NODE, 11.0),
    ]
    status.closed(1)
    assert [stream.since for stream in status.streams()] == [11.0]


def test_the_last_accepted_version_is_kept_per_type() -> None:
    status = opened()
    status.said(1, Subscribed(CLUSTER), 11.0)
    status.said(1, Subscribed(LISTENER), 11.0)
    status.said(1, acked("v1"), 12.0)
    assert types(status) == {CLUSTER: TypeStatus(version="v1"), LISTENER: TypeStatus()}


def test_a_refusal_stands_beside_the_last_accepted_version() -> None:
    status = opened()
    status.said(1, acked("v1"), 12.0)
    status.said(1, nacked("a", "b"), 13.0)
    origins = ("origin of a", "origin of b")
    refusal = Refusal("bad", ("a", "b"), origins, named=True, since=13.0)
    assert types(status) == {CLUSTER: TypeStatus(version="v1", refusals=(refusal,))}


def test_a_refusal_dates_from_its_first_time_and_ends_when_what_it_names_is_accepted() -> None:
    status = opened()
    assert status.said(1, nacked("a"), 13.0)
    assert status.said(1, nacked("a", named=False), 14.0)
    refusal = Refusal("bad", ("a",), ("origin of a",), named=False, since=13.0)
    assert types(status)[CLUSTER].refusals == (refusal,)
    assert status.said(1, acked("v3", "a", "b"), 15.0)
    assert types(status)[CLUSTER] == TypeStatus(version="v3")


def test_a_refusal_outlives_the_acceptance_of_something_else() -> None:
    status = opened()
    status.said(1, nacked("a", "b"), 13.0)
    assert not status.said(1, acked("v2", "c"), 14.0)
    status.said(1, acked("v3", "b"), 15.0)
    (refusal,) = types(status)[CLUSTER].refusals
    assert refusal.names == ("a",)


def test_refusals_of_different_resources_stand_side_by_side() -> None:
    status = opened()
    status.said(1, nacked("a"), 13.0)
    status.said(1, nacked("b"), 14.0)
    assert [refusal.names for refusal in types(status)[CLUSTER].refusals] == [("a",), ("b",)]


def test_what_is_no_longer_asked_for_is_marked() -> None:
    status = opened()
    status.said(1, acked("v1"), 12.0)
    status.said(1, Unsubscribed(CLUSTER), 13.0)
    assert types(status) == {CLUSTER: TypeStatus(subscribed=False, version="v1")}
    status.said(1, Subscribed(CLUSTER), 14.0)
    assert types(status)[CLUSTER].subscribed


def test_only_so_many_suspects_are_kept() -> None:
    status = opened()
    status.said(1, nacked(*(f"c{number}" for number in range(SUSPECTS + 1))), 13.0)
    (refusal,) = types(status)[CLUSTER].refusals
    assert len(refusal.names) == len(refusal.origins) == SUSPECTS
