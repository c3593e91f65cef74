"""A small soak, and whether the large one would notice something that grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.soak.run import Health, kept, soak, trouble

if TYPE_CHECKING:
    from pathlib import Path

MOST = 1000.0


def grown(tasks: int = 0, descriptors: int = 0, size: int = 0) -> list[Health]:
    """A server that keeps so much of each reconnect."""
    return [
        Health(number, 7 + number * tasks, 17 + number * descriptors, 90_000_000 + number * size)
        for number in range(0, 1000, 100)
    ]


async def test_proxies_that_come_and_go_leave_no_task_and_no_descriptor_behind(
    tmp_path: Path,
) -> None:
    found = await soak(tmp_path, reconnects=150, samples=3)
    # So few say nothing about memory: what is used first stays.
    assert trouble(found, most=float("inf")) == []


def test_what_grows_is_told() -> None:
    assert trouble(grown(), MOST) == []
    assert "tasks: 107 after 100" in trouble(grown(tasks=1), MOST)[0]
    assert "descriptors: 117 after 100" in trouble(grown(descriptors=1), MOST)[0]
    assert "memory: 2000 bytes" in trouble(grown(size=2000), MOST)[0]


def test_memory_that_settles_is_not_told() -> None:
    warm = [
        Health(number, 7, 17, 90_000_000 + min(number, 400) * 20_000)
        for number in range(0, 1100, 100)
    ]
    assert kept(warm) == 0
    assert trouble(warm, MOST) == []
