"""Who leads, by two candidates' own clocks and one Lease."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from meltemi.controller.kube.election import DURATION_S, RENEW_S, RETRY_S, Election, Record

EMPTY = Record(lease_duration_seconds=0)
WALL = 1_800_000_000.0


def candidate(name: str = "a") -> Election:
    return Election(name, Random(1))


def elected(now: float = 0.0) -> Election:
    election = candidate()
    bid = election.bid(now, WALL)
    assert bid is not None
    election.won(bid, now)
    return election


def held_by(other: str, transitions: int = 0) -> Record:
    at = "2027-01-15T08:00:00.000000Z"
    return Record(other, DURATION_S, at, at, transitions)


def test_a_lease_that_does_not_exist_is_won_without_a_transition() -> None:
    bid = candidate().bid(0.0, WALL)
    at = "2027-01-15T08:00:00.000000Z"
    assert bid == Record("a", DURATION_S, at, at, 0)


def test_nobody_leads_before_the_lease_says_so() -> None:
    election = candidate()
    election.bid(0.0, WALL)
    assert not election.leads(0.0)


def test_a_lease_of_somebody_else_is_left_alone_until_it_has_not_changed_for_its_duration() -> None:
    election = candidate()
    election.saw(held_by("b", transitions=4), 100.0)
    assert election.follows()
    assert election.bid(100.0 + DURATION_S - 0.01, WALL) is None
    bid = election.bid(100.0 + DURATION_S, WALL)
    assert bid is not None
    assert (bid.holder_identity, bid.lease_transitions) == ("a", 5)


def test_a_renewal_of_somebody_else_starts_the_wait_anew_whatever_its_clock_says() -> None:
    election = candidate()
    election.saw(held_by("b"), 0.0)
    backwards = Record("b", DURATION_S, "2027-01-15T08:00:00.000000Z", "1999-01-01T00:00:00.0Z", 0)
    election.saw(backwards, 10.0)
    assert election.bid(DURATION_S + 1.0, WALL) is None
    assert election.bid(10.0 + DURATION_S, WALL) is not None


def test_seeing_the_same_again_does_not_start_the_wait_anew() -> None:
    election = candidate()
    for now in (0.0, 5.0, 14.0):
        election.saw(held_by("b"), now)
    assert election.bid(DURATION_S, WALL) is not None


def test_a_leader_that_cannot_renew_stops_before_others_may_begin() -> None:
    election = elected(now=50.0)
    assert election.leads(50.0 + RENEW_S - 0.01)
    assert not election.leads(50.0 + RENEW_S)
    assert RENEW_S < DURATION_S


def test_a_renewal_keeps_when_the_lease_was_acquired() -> None:
    election = elected()
    bid = election.bid(2.0, WALL + 2.0)
    assert bid is not None
    assert bid.acquire_time == "2027-01-15T08:00:00.000000Z"
    assert bid.renew_time == "2027-01-15T08:00:02.000000Z"
    election.won(bid, 2.0)
    assert election.leads(RENEW_S + 1.0)


def test_a_leader_that_finds_another_name_in_the_lease_leads_no_more() -> None:
    election = elected()
    election.saw(held_by("b"), 1.0)
    assert not election.leads(1.0)
    assert election.follows()


def test_a_lease_that_was_given_back_is_free_at_once() -> None:
    election = elected()
    resignation = election.resignation(WALL)
    assert resignation is not None
    assert (resignation.holder_identity, resignation.lease_duration_seconds) == ("", 1)
    assert not election.leads(0.0)
    other = candidate("b")
    other.saw(resignation, 7.0)
    bid = other.bid(7.0, WALL)
    assert bid is not None
    assert bid.lease_transitions == 1


def test_who_does_not_hold_the_lease_gives_nothing_back() -> None:
    election = elected()
    election.saw(held_by("b"), 1.0)
    assert election.resignation(WALL) is None


def test_who_waits_looks_again_when_the_lease_expires_and_not_a_pause_later() -> None:
    election = candidate()
    election.saw(held_by("b"), 0.0)
    assert 0.8 * RETRY_S <= election.pause(0.0) <= 1.2 * RETRY_S
    assert 0.5 <= election.pause(DURATION_S - 0.5) <= 0.6
    assert election.pause(DURATION_S) >= 0.8 * RETRY_S


def test_a_leader_wakes_when_it_must_stop_and_goes_on_trying() -> None:
    election = elected()
    assert election.pause(RENEW_S - 0.25) == 0.25
    assert election.pause(RENEW_S + 1.0) >= 0.8 * RETRY_S


class Server:
    """A Lease with an optimistic lock."""

    def __init__(self) -> None:
        self.record = EMPTY
        self.revision = 0


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.floats(0.5, 8.0),  # time passes
            st.sampled_from("ab"),
            st.sampled_from(("look", "stale", "lost", "resign")),
        ),
        min_size=50,
        max_size=50,
    )
)
def test_no_two_lead_at_once_whatever_is_slow_or_lost(steps: list[tuple[float, str, str]]) -> None:
    """``stale``: the request waits until others have written; ``lost``: its answer is lost."""
    server, now = Server(), 1000.0
    candidates = {name: Election(name, Random(0)) for name in "ab"}
    delayed: dict[str, tuple[Record, int, float]] = {}
    for passed, name, action in steps:
        now += passed
        election = candidates[name]
        if (write := delayed.pop(name, None)) is not None and write[1] == server.revision:
            server.record, server.revision = write[0], server.revision + 1
            election.won(write[0], write[2])
        election.saw(server.record, now)
        if action == "resign":
            if (resignation := election.resignation(WALL + now)) is not None:
                server.record, server.revision = resignation, server.revision + 1
        elif (bid := election.bid(now, WALL + now)) is not None:
            if action == "stale":
                delayed[name] = bid, server.revision, now
            else:
                server.record, server.revision = bid, server.revision + 1
                if action == "look":
                    election.won(bid, now)
        assert sum(each.leads(now) for each in candidates.values()) <= 1
