"""Numbers that the environment may set: each has bounds, and says them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from meltemi.controller.tuning import NUMBERS, Number, Tuning, tuning
from meltemi.xds.limits import Limits

LIMITS = (Path(__file__).parents[3] / "docs/limits.md").read_text()
EACH = pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)


def read(name: str, value: object) -> Tuning:
    # A long wait for changes needs room for it.
    room = {"M_HOLD_OFF_LONGEST": "60"} if name == "HOLD_OFF" else {}
    if name == "HOLD_OFF_LONGEST":
        room = {"M_HOLD_OFF": "0"}
    return tuning({f"M_{name}": str(value), **room}, "M_")


def value(tuned: Tuning, number: Number) -> float:
    owner = tuned.limits if number.field in Limits.__slots__ else tuned
    found: float = getattr(owner, number.field)
    return found


def written(number: Number, bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else str(bound)


def test_nothing_needs_to_be_set() -> None:
    assert tuning({"PATH": "/bin"}, "M_") == Tuning()


def test_every_limit_can_be_set() -> None:
    settable = {number.field for number in NUMBERS}
    known = {field.name for owner in (Limits, Tuning) for field in fields(owner)}
    assert settable == known - {"limits"}


@EACH
def test_both_bounds_may_be_written_and_the_default_lies_between(number: Number) -> None:
    for bound in (number.low, number.high):
        assert value(read(number.name, written(number, bound)), number) == bound
    assert number.low <= value(Tuning(), number) <= number.high


@EACH
@pytest.mark.parametrize("text", ["many", "", "nan", "inf", "-1", "1e99"])
def test_anything_else_is_told_with_its_name_and_what_may_be_written(
    number: Number, text: str
) -> None:
    with pytest.raises(ValueError, match=f"M_{number.name} is .*: write .*from .* to ") as caught:
        read(number.name, text)
    assert repr(text) in str(caught.value)


@EACH
def test_just_outside_the_bounds_is_refused(number: Number) -> None:
    for bound in (number.low - 1, number.high + 1):
        if bound == 0 and number.off:
            continue
        with pytest.raises(ValueError, match=number.name):
            read(number.name, written(number, bound))


def test_streams_may_have_no_maximum_age() -> None:
    assert read("MAX_STREAM_AGE", "0").limits.age == 0


def test_a_part_of_a_stream_cannot_be_counted() -> None:
    with pytest.raises(ValueError, match=r"a whole number from 1 to 1000000$"):
        read("MAX_STREAMS", "2.5")


def test_changes_cannot_be_held_for_less_than_the_quiet_that_they_wait_for() -> None:
    with pytest.raises(ValueError, match="HOLD_OFF_LONGEST"):
        tuning({"M_HOLD_OFF": "1"}, "M_")


@EACH
def test_the_page_on_limits_has_the_number_with_its_default_and_bounds(number: Number) -> None:
    default = f"{value(Tuning(), number):.10g}"
    bounds = f"{number.low:.10g} to {number.high:.10g}" + ", or 0 for never" * number.off
    assert f"| {default} | `MELTEMI_{number.name}` | {bounds} |" in LIMITS
