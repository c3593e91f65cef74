"""What is known of each stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.testing.resources import cluster
from meltemi.xds.peer import Peer
from meltemi.xds.resource import CLUSTER, LISTENER
from meltemi.xds.session import Acked, Dropped, Nacked, Pushed, Resumed, Subscribed, Unsubscribed
from meltemi.xds.status import SUSPECTS, UNANSWERED, Refusal, State, Status, Suspect, TypeStatus
from meltemi.xds.wire import Node

if TYPE_CHECKING:
    from meltemi.xds.session import Event

NODE = Node("gateway-1", "gateways", {})
PEER = Peer("ipv4:127.0.0.1:40000")


def pushed(nonce: str) -> Pushed:
    return Pushed(CLUSTER, "v", nonce, 100)


def acked(version: str, *names: str, nonce: str = "n") -> Acked:
    return Acked(CLUSTER, version, nonce, frozenset(names))


def nacked(*names: str, certain: bool = True, nonce: str = "2") -> Nacked:
    return Nacked(CLUSTER, "v2", nonce, "bad", tuple(cluster(name) for name in names), certain)


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
    assert types(status) == {
        CLUSTER: TypeStatus(asked=11.0, version="v1", accepted=12.0),
        LISTENER: TypeStatus(asked=11.0),
    }


def test_a_refusal_stands_beside_the_last_accepted_version() -> None:
    status = opened()
    status.said(1, acked("v1"), 12.0)
    status.said(1, nacked("a", "b"), 13.0)
    suspects = (Suspect("a", ("origin of a",)), Suspect("b", ("origin of b",)))
    refusal = Refusal("bad", suspects, certain=True, since=13.0)
    assert types(status) == {CLUSTER: TypeStatus(version="v1", accepted=12.0, refusals=(refusal,))}


def test_a_refusal_dates_from_its_first_time_and_ends_when_what_it_names_is_accepted() -> None:
    status = opened()
    assert status.said(1, nacked("a"), 13.0)
    assert status.said(1, nacked("a", certain=False), 14.0)
    refusal = Refusal("bad", (Suspect("a", ("origin of a",)),), certain=False, since=13.0)
    assert types(status)[CLUSTER].refusals == (refusal,)
    assert status.said(1, acked("v3", "a", "b"), 15.0)
    assert types(status)[CLUSTER] == TypeStatus(version="v3", accepted=15.0)


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


def test_one_that_is_refused_alone_stands_apart_and_the_others_stay_suspected() -> None:
    status = opened()
    status.said(1, nacked("a", "b", "c", certain=False), 13.0)
    status.said(1, nacked("b"), 14.0)
    status.said(1, acked("v3", "a"), 15.0)
    refusals = types(status)[CLUSTER].refusals
    assert [(each.names, each.certain, each.since) for each in refusals] == [
        (("c",), False, 13.0),
        (("b",), True, 13.0),
    ]


def test_a_refusal_of_some_is_the_last_word_on_all_that_it_answers() -> None:
    status = opened()
    status.said(1, nacked("a", "b", certain=False), 13.0)
    [accused] = nacked("a").suspects
    event = Nacked(CLUSTER, "v3", "3", "bad", (accused,), certain=True, names=frozenset("ab"))
    status.said(1, event, 14.0)
    assert [each.names for each in types(status)[CLUSTER].refusals] == [("a",)]


def test_what_is_no_longer_asked_for_is_marked() -> None:
    status = opened()
    status.said(1, acked("v1"), 12.0)
    status.said(1, Unsubscribed(CLUSTER), 13.0)
    assert types(status) == {
        CLUSTER: TypeStatus(subscribed=False, asked=13.0, version="v1", accepted=12.0)
    }
    status.said(1, Subscribed(CLUSTER), 14.0)
    assert types(status)[CLUSTER].subscribed


def test_a_refusal_ends_for_what_the_proxy_asks_for_no_more() -> None:
    status = opened()
    status.said(1, nacked("a", "b"), 13.0)
    assert status.said(1, Dropped(CLUSTER, frozenset("a")), 14.0)
    (refusal,) = types(status)[CLUSTER].refusals
    assert (refusal.names, refusal.origins) == (("b",), ("origin of b",))
    status.said(1, Dropped(CLUSTER, frozenset("b")), 15.0)
    assert types(status)[CLUSTER].refusals == ()


def test_only_so_many_suspects_are_kept() -> None:
    status = opened()
    status.said(1, nacked(*(f"c{number}" for number in range(SUSPECTS + 1))), 13.0)
    (refusal,) = types(status)[CLUSTER].refusals
    assert len(refusal.names) == len(refusal.origins) == SUSPECTS


def test_a_type_is_in_one_state_since_a_moment() -> None:
    status = opened()
    steps: list[tuple[Event, float, State, float]] = [
        (Subscribed(CLUSTER), 11.0, State.NOT_SENT, 11.0),
        (pushed("1"), 12.0, State.PENDING, 12.0),
        (acked("v1", "a", nonce="1"), 13.0, State.ACKED, 13.0),
        (pushed("2"), 14.0, State.PENDING, 14.0),
        (nacked("a", nonce="2"), 15.0, State.NACKED, 15.0),
        (pushed("3"), 16.0, State.NACKED, 15.0),
        (acked("v3", "a", nonce="3"), 17.0, State.ACKED, 17.0),
        (Unsubscribed(CLUSTER), 18.0, State.NOT_SUBSCRIBED, 18.0),
    ]
    for event, now, state, since in steps:
        status.said(1, event, now)
        assert types(status)[CLUSTER].state == (state, since)


def test_a_proxy_that_came_back_with_all_that_it_should_have_stands_as_if_it_had_accepted() -> None:
    status = opened()
    steps: list[tuple[Event, float, State, float]] = [
        (Subscribed(CLUSTER), 11.0, State.NOT_SENT, 11.0),
        (Resumed(CLUSTER, "v1"), 11.0, State.ACKED, 11.0),
        (pushed("1"), 12.0, State.PENDING, 12.0),
    ]
    for event, now, state, since in steps:
        status.said(1, event, now)
        assert types(status)[CLUSTER].state == (state, since)


def test_an_answer_counts_for_what_was_sent_before_and_not_for_what_was_sent_later() -> None:
    status = opened()
    for nonce in ("1", "2", "3"):
        status.said(1, pushed(nonce), 10.0 + int(nonce))
    status.said(1, acked("v2", nonce="2"), 20.0)
    assert types(status)[CLUSTER].state == (State.PENDING, 13.0)


def test_a_proxy_that_never_answers_costs_a_bounded_memory() -> None:
    status = opened()
    for number in range(100):
        status.said(1, pushed(str(number)), float(number))
    assert len(types(status)[CLUSTER].pending) == UNANSWERED


def test_streams_of_one_proxy_stay_apart() -> None:
    status = opened()
    status.opened(2, NODE, PEER, 11.0)
    status.said(2, Subscribed(CLUSTER), 12.0)
    assert {number: set(stream.types) for number, stream in status.numbered().items()} == {
        1: set(),
        2: {CLUSTER},
    }
