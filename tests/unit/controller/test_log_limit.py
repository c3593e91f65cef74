"""A proxy that repeats itself does not fill the log."""

from __future__ import annotations

from meltemi.controller.log_limit import LogLimit


def test_a_few_at_once_pass_and_a_flood_does_not() -> None:
    limit = LogLimit()
    taken = [limit.take(1, 0) for _ in range(1000)]
    assert 1 < sum(each is not None for each in taken) < 10


def test_a_flood_is_told_of_with_the_number_of_what_was_left_out() -> None:
    limit = LogLimit()
    passed = [limit.take(1, step / 100) for step in range(1000)]
    told = [each for each in passed if each is not None]
    assert len(told) < 20
    assert len(told) + sum(told) > 900


def test_one_stream_does_not_silence_another() -> None:
    limit = LogLimit()
    while limit.take(1, 0) is not None:
        pass
    assert limit.take(2, 0) == 0


def test_streams_that_ended_leave_nothing_behind() -> None:
    limit = LogLimit()
    for stream in range(3):
        while limit.take(stream, 0) is not None:
            pass
        limit.forget(stream)
    assert [kept for kept in vars(limit).values() if isinstance(kept, dict)] == [{}, {}]
