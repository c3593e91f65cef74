"""Streams are counted, and prepared a few at a time in the order in which they came."""

from __future__ import annotations

import pytest

from meltemi.xds.admission import Census, Queue
from meltemi.xds.limits import LimitError
from meltemi.xds.peer import Identity, Peer

ONE = Identity("cluster.local", "/ns/default/sa/one")
TWO = Identity("cluster.local", "/ns/default/sa/two")


def refused(census: Census, peer: Peer) -> str:
    with pytest.raises(LimitError) as caught:
        census.enter(peer)
    return caught.value.limit


def test_a_peer_without_identity_is_its_address_whatever_the_port() -> None:
    census = Census(streams=100, streams_per_peer=2)
    census.enter(Peer("ipv4:10.0.0.1:1"))
    census.enter(Peer("ipv4:10.0.0.1:2"))
    assert refused(census, Peer("ipv4:10.0.0.1:3")) == "streams_per_peer"
    census.enter(Peer("ipv4:10.0.0.2:3"))
    census.enter(Peer("ipv6:%5B::1%5D:3"))
    assert len(census) == 4


def test_a_peer_with_an_identity_is_one_peer_from_every_address() -> None:
    census = Census(streams=100, streams_per_peer=1)
    census.enter(Peer("ipv4:10.0.0.1:1", ONE))
    assert refused(census, Peer("ipv4:10.0.0.2:1", ONE)) == "streams_per_peer"
    census.enter(Peer("ipv4:10.0.0.1:1", TWO))


def test_a_peer_is_told_who_it_is_and_how_many_streams_it_has() -> None:
    census = Census(streams=100, streams_per_peer=1)
    census.enter(Peer("ipv4:10.0.0.1:1"))
    with pytest.raises(LimitError, match=r"ipv4:10\.0\.0\.1 has 1 streams.*streams per peer"):
        census.enter(Peer("ipv4:10.0.0.1:2"))


def test_streams_are_counted_in_all() -> None:
    census = Census(streams=2, streams_per_peer=100)
    for number in range(2):
        census.enter(Peer(f"ipv4:10.0.0.{number}:1"))
    assert refused(census, Peer("ipv4:10.0.0.9:1")) == "streams"


def test_a_stream_that_ended_makes_room_and_leaves_nothing_behind() -> None:
    census = Census(streams=1, streams_per_peer=1)
    for number in range(1000):
        peer = Peer(f"ipv4:10.0.{number // 250}.{number % 250}:1")
        census.enter(peer)
        census.leave(peer)
    assert len(census) == 0
    assert vars(census)["_of"] == {}


def test_as_many_as_may_be_served_at_once_are() -> None:
    queue = Queue[str](at_once=2, waiting=2)
    assert [queue.arrive(ticket) for ticket in "abcd"] == [True, True, False, False]
    assert len(queue) == 2


def test_who_waits_is_served_in_order() -> None:
    queue = Queue[str](at_once=1, waiting=9)
    for ticket in "abcd":
        queue.arrive(ticket)
    assert [queue.leave(ticket) for ticket in "abcd"] == ["b", "c", "d", None]
    assert queue.arrive("e")


def test_beyond_the_waiting_list_streams_are_refused_and_served_ones_are_not_disturbed() -> None:
    queue = Queue[str](at_once=1, waiting=1)
    queue.arrive("a")
    queue.arrive("b")
    with pytest.raises(LimitError, match="1 streams wait") as caught:
        queue.arrive("c")
    assert caught.value.limit == "waiting"
    assert queue.leave("a") == "b"


def test_who_gives_up_waiting_is_passed_over() -> None:
    queue = Queue[str](at_once=1, waiting=2)
    for ticket in "abc":
        queue.arrive(ticket)
    assert queue.leave("b") is None
    assert queue.leave("a") == "c"


def test_leaving_twice_does_not_let_two_in() -> None:
    queue = Queue[str](at_once=1, waiting=3)
    for ticket in "abcd":
        queue.arrive(ticket)
    assert [queue.leave("a"), queue.leave("a")] == ["b", None]


def test_nobody_may_wait_where_there_is_no_waiting_list() -> None:
    queue = Queue[str](at_once=1, waiting=0)
    assert queue.arrive("a")
    with pytest.raises(LimitError):
        queue.arrive("b")
