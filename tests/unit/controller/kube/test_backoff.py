"""A server that fails is asked less and less often."""

from __future__ import annotations

from random import Random

from meltemi.controller.kube.backoff import Backoff


def test_waits_double_up_to_the_limit_with_jitter() -> None:
    waits = [backoff.next() for backoff in [Backoff(1.0, 8.0, Random(7))] for _ in range(6)]
    for wait, full in zip(waits, (1, 2, 4, 8, 8, 8), strict=True):
        assert full / 2 <= wait <= full
    assert len(set(waits)) == 6


def test_what_the_server_asks_for_is_the_least() -> None:
    assert Backoff(0.1, 1.0).next(retry_after=7.0) == 7.0


def test_success_begins_anew() -> None:
    backoff = Backoff(1.0, 64.0, Random(7))
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 1.0


def test_a_thousand_failures_are_no_overflow() -> None:
    backoff = Backoff()
    assert all(backoff.next() <= 30.0 for _ in range(5000))


def test_a_server_that_was_away_and_answers_again_is_asked_soon() -> None:
    backoff = Backoff()
    away = [backoff.next(away=True) for _ in range(9)]
    assert away[-1] > 10.0
    assert backoff.next(1.0) == 1.0
    assert backoff.next() <= 0.4
