from __future__ import annotations

import pytest

from meltemi.testing.report import Call, Report


def answered(ended: float, answer: str, connection: int = 0) -> Call:
    return Call(connection, ended - 0.1, ended, answer)


def failed(ended: float, error: str) -> Call:
    return Call(0, ended - 0.3, ended, error=error)


CALLS = (answered(1, "v1"), failed(2, "no"), answered(3, "v2", 1), answered(4, "v1"))
REPORT = Report(CALLS, connections=2, reconnects=1)


def test_failed_calls_are_counted_with_their_errors() -> None:
    assert (REPORT.failed, dict(REPORT.errors)) == (1, {"no": 1})


def test_a_share_is_of_the_answered_calls() -> None:
    assert REPORT.share("v1") == pytest.approx(2 / 3)
    assert REPORT.share("v3") == 0


def test_the_rate_is_over_the_whole_run() -> None:
    assert REPORT.rate == pytest.approx(4 / 3.1)


def test_the_slowest_call_may_be_a_failed_one() -> None:
    assert REPORT.slowest == pytest.approx(0.3)


def test_only_connections_with_an_answer_count_as_used() -> None:
    assert REPORT.connections_used == 2


def test_since_leaves_out_what_began_before() -> None:
    later = REPORT.since(2.9)
    assert (later.calls, later.reconnects) == (CALLS[2:], 1)


def test_the_first_change_is_the_end_of_the_first_call_that_shows_it() -> None:
    assert REPORT.first_change(2.5, lambda answer: answer == "v2") == pytest.approx(0.5)
    assert REPORT.first_change(0, lambda answer: answer == "v2") == pytest.approx(3)
    assert REPORT.first_change(3.5, lambda answer: answer == "v2") is None


def test_a_report_without_calls_is_all_zero() -> None:
    empty = Report((), connections=8)
    assert (empty.failed, empty.rate, empty.slowest, empty.share("v1")) == (0, 0, 0, 0)
