"""Times as the API server takes them."""

from __future__ import annotations

from meltemi.controller.kube.timestamps import micro_time, time_of


def test_a_whole_second_has_its_six_digits_too() -> None:
    assert micro_time(0.0) == "1970-01-01T00:00:00.000000Z"
    assert micro_time(1_800_000_000.25) == "2027-01-15T08:00:00.250000Z"


def test_a_time_is_without_what_is_less_than_a_second() -> None:
    assert time_of(1_800_000_000.75) == "2027-01-15T08:00:00Z"
