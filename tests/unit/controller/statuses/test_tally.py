"""Numbers of proxies, and how those of replicas add up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.statuses.tally import Tally, Words

NUMBERS = st.integers(0, 9)
WORDS = st.none() | st.builds(Words, st.sampled_from("ab"), st.sampled_from("xy"))
TALLIES = st.builds(Tally, st.integers(0, 2), NUMBERS, NUMBERS, NUMBERS, NUMBERS, WORDS)


@given(TALLIES, TALLIES, TALLIES)
def test_replicas_add_up_in_whatever_order(one: Tally, two: Tally, three: Tally) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)


@given(TALLIES, TALLIES)
def test_no_proxy_is_lost_or_counted_twice(one: Tally, two: Tally) -> None:
    assert (one + two).proxies == one.proxies + two.proxies


def test_what_was_accepted_of_an_earlier_generation_is_pending() -> None:
    both = Tally(2, acked=1) + Tally(1, acked=3, nacked=1, pending=1, unsupported=1)
    assert both == Tally(2, acked=1, nacked=1, pending=4, unsupported=1)


def test_the_first_proxy_by_its_name_speaks_for_all() -> None:
    first, second = Words("a", "why"), Words("b", "because")
    assert (Tally(nacked=1, words=second) + Tally(nacked=1, words=first)).words == first
