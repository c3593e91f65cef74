"""Streams that nothing is wrong with end one after the other."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.xds.drain import OUTLIVED, SPACING, drain_schedule, expiry, lifetime

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 2000), st.floats(0.01, 600), CHANCE)
def test_all_streams_end_inside_the_grace_and_no_two_at_once(
    count: int, grace: float, chance: float
) -> None:
    ends = drain_schedule(count, grace, lambda: chance)
    assert len(ends) == count
    assert all(0 <= end < grace for end in ends)
    assert all(before < after for before, after in pairwise(ends))


def test_a_few_streams_do_not_take_the_whole_grace() -> None:
    assert max(drain_schedule(3, 3600, lambda: 0.5)) < 3 * SPACING


def test_many_streams_share_the_grace_and_leave_a_part_of_it() -> None:
    ends = drain_schedule(10_000, 10, lambda: 0.5)
    assert 6 < ends[-1] < 8


@given(CHANCE)
def test_a_stream_lasts_a_tenth_more_or_less(chance: float) -> None:
    assert 89.999 < lifetime(100, lambda: chance) < 110.001


def test_streams_of_one_age_do_not_end_together() -> None:
    lasts = [lifetime(100, lambda: chance) for chance in (0.0, 0.5, 0.999)]  # noqa: B023
    assert lasts == [90, 100, pytest.approx(110, abs=0.1)]


@given(st.floats(0, 1e7), CHANCE)
def test_a_stream_outlives_its_token_a_little(lasts: float, chance: float) -> None:
    assert lasts <= expiry(lasts, lambda: chance) <= lasts + min(OUTLIVED, lasts / 10)


def test_streams_whose_tokens_expire_together_do_not_end_so() -> None:
    assert expiry(3600, lambda: 0.75) - expiry(3600, lambda: 0.25) == pytest.approx(OUTLIVED / 2)
