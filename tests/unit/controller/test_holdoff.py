"""A storm of changes leaves in few pieces, nothing is lost, and nothing waits long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.holdoff import HoldOff
from meltemi.protocols.model import Dirty

QUIET, LONGEST = 0.05, 0.5
NOTHING = Dirty()


def rules(*hosts: str) -> Dirty:
    return Dirty(hosts=frozenset(hosts))


def endpoints(*hosts: str) -> Dirty:
    return Dirty(endpoints=frozenset(hosts))


def holdoff() -> HoldOff:
    return HoldOff(QUIET, LONGEST)


def test_the_first_change_after_quiet_leaves_at_once() -> None:
    held = holdoff()
    held.take(rules("a"), 100)
    assert held.release(100) == rules("a")
    assert held.deadline() is None
    held.take(rules("b"), 100 + QUIET)
    assert held.release(100 + QUIET) == rules("b")


def test_what_follows_soon_leaves_together_when_it_is_quiet_again() -> None:
    held = holdoff()
    held.take(rules("a"), 0)
    held.release(0)
    held.take(rules("b"), 0.02)
    assert held.release(0.02) == NOTHING
    held.take(rules("c"), 0.04)
    assert held.deadline() == 0.04 + QUIET
    assert held.release(0.08) == NOTHING
    assert held.release(0.04 + QUIET) == rules("b", "c")
    assert held.deadline() is None


def test_a_storm_that_does_not_end_is_let_through_in_pieces() -> None:
    held, released = holdoff(), list[int]()
    for step in range(100):
        held.take(rules(str(step)), step / 100)
        if held.release(step / 100):
            released.append(step)
    assert released == [0, 51]


def test_endpoints_do_not_wait() -> None:
    held = holdoff()
    held.take(rules("a"), 0)
    held.release(0)
    held.take(rules("b"), 0.01)
    held.take(endpoints("c"), 0.01)
    assert held.release(0.01) == endpoints("c")
    assert held.release(0.01 + QUIET) == rules("b")


def test_endpoints_make_no_storm() -> None:
    held = holdoff()
    held.take(endpoints("a"), 0)
    held.release(0)
    held.take(rules("b"), 0.01)
    assert held.release(0.01) == rules("b")


def test_what_changed_together_leaves_together() -> None:
    held, both = holdoff(), Dirty(frozenset("b"), frozenset("bc"))
    held.take(rules("a"), 0)
    held.release(0)
    held.take(both, 0.01)
    # These belong to what waits: a route must not lead to endpoints that left before it.
    held.take(endpoints("b"), 0.02)
    held.take(endpoints("c"), 0.02)
    assert held.release(0.02) == NOTHING
    assert held.release(0.01 + QUIET) == both


def test_secrets_and_applications_wait_like_rules() -> None:
    for dirty in (
        Dirty(secrets=frozenset({("default", "s")})),
        Dirty(applications=frozenset({"app"})),
    ):
        held = holdoff()
        held.take(rules("a"), 0)
        held.release(0)
        held.take(dirty, 0.01)
        assert held.release(0.01) == NOTHING
        assert held.release(0.01 + QUIET) == dirty


def test_a_change_that_touches_nothing_does_not_wake_anybody() -> None:
    held = holdoff()
    held.take(NOTHING, 0)
    assert (held.release(0), held.deadline()) == (NOTHING, None)


def test_everything_can_be_asked_for_at_once() -> None:
    held = holdoff()
    held.take(rules("a"), 0)
    held.release(0)
    held.take(rules("b"), 0.01)
    assert held.release(0.01, everything=True) == rules("b")
    assert held.deadline() is None


HOSTS = st.frozensets(st.sampled_from("abcd"), max_size=2)
CHANGES = st.builds(Dirty, hosts=HOSTS, endpoints=HOSTS)


@given(st.lists(st.tuples(st.floats(0, 0.2), CHANGES), max_size=60))
def test_nothing_is_lost_and_nothing_is_later_than_the_longest_wait(
    storm: list[tuple[float, Dirty]],
) -> None:
    held, now = holdoff(), 0.0
    due: dict[tuple[str, str], float] = {}

    def settle(moment: float) -> None:
        gone = held.release(moment)
        for kind, names in (("host", gone.hosts), ("endpoints", gone.endpoints)):
            for name in names:
                assert moment <= due.pop((kind, name)) + 1e-9

    for pause, dirty in storm:
        now += pause
        while (deadline := held.deadline()) is not None and deadline <= now:
            settle(deadline)
        quiet = held.deadline() is None
        held.take(dirty, now)
        for kind, names in (("host", dirty.hosts), ("endpoints", dirty.endpoints)):
            for name in names:
                alone = kind == "endpoints" and not dirty.hosts and quiet
                due.setdefault((kind, name), now if alone else now + LONGEST)
        settle(now)
    while (deadline := held.deadline()) is not None:
        settle(deadline)
    assert due == {}
