"""How many streams there is room for, by the limits that the process was started with."""

from __future__ import annotations

import resource

import pytest

from meltemi.controller.descriptors import RESERVE, room_for

FOREVER = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("before", "after", "room"),
    [
        ((1024, 1_048_576), (1000 + RESERVE, 1_048_576), 1000),
        ((1024, 500), (1024, 500), 960),
        ((256, 500), (500, 500), 500 - RESERVE),
        ((256, FOREVER), (1000 + RESERVE, FOREVER), 1000),
        ((FOREVER, FOREVER), (FOREVER, FOREVER), 1000),
        ((1_048_576, 1_048_576), (1_048_576, 1_048_576), 1000),
        ((20, 20), (20, 20), 1),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_it_may_and_needs_to_be(
    monkeypatch: pytest.MonkeyPatch,
    before: tuple[int, int],
    after: tuple[int, int],
    room: int,
) -> None:
    limits = [before]

    def get(_: int) -> tuple[int, int]:
        return limits[-1]

    def put(_: int, pair: tuple[int, int]) -> None:
        limits.append(pair)

    monkeypatch.setattr(resource, "getrlimit", get)
    monkeypatch.setattr(resource, "setrlimit", put)
    assert room_for(1000) == room
    assert limits[-1] == after
