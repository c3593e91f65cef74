"""A token bucket that says how long to wait."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.xds.token_bucket import BURST, TokenBucket


def test_a_burst_passes_and_what_follows_waits() -> None:
    bucket = TokenBucket(rate=10, now=0)
    waits = [bucket.spend(1, 0) for _ in range(round(10 * BURST) + 2)]
    assert waits[-3:] == [0, pytest.approx(0.1), pytest.approx(0.2)]


def test_who_has_waited_may_go_on() -> None:
    bucket = TokenBucket(rate=10, now=0)
    wait = bucket.spend(10 * BURST + 5, 0)
    assert wait == pytest.approx(0.5)
    assert bucket.spend(0, wait) == pytest.approx(0)


def test_quiet_saves_no_more_than_a_burst() -> None:
    bucket = TokenBucket(rate=10, now=0)
    assert bucket.spend(10 * BURST + 1, 3600) == pytest.approx(0.1)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 50)), max_size=50))
def test_nobody_who_waits_as_told_gets_more_than_the_rate_and_a_burst(
    steps: list[tuple[float, float]],
) -> None:
    bucket, now, spent = TokenBucket(rate=10, now=0), 0.0, 0.0
    for pause, cost in steps:
        now += pause
        spent += cost
        now += bucket.spend(cost, now)
        assert spent <= 10 * (now + BURST) + 1e-6
