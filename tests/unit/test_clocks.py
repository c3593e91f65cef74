"""A clock that is set while Meltemi runs disturbs nothing: what decides uses a steady one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import meltemi

ROOMS = ("xds", "protocols", "controller")
WALL = frozenset({"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "date.today"})
TOLD = "wall_time.py"
"""Tells people what time it is."""
FILES = [
    path
    for room in ROOMS
    for path in sorted(Path(meltemi.__file__).with_name(room).resolve().glob("*.py"))
    if path.name != TOLD
]


def uses(source: str) -> set[str]:
    """The clocks that can jump which it names."""
    tree = ast.parse(source)
    from_time = {
        f"time.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    }
    attributes = {
        f"{ast.unparse(node.value).rpartition('.')[2]}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
    }
    return (from_time | attributes) & WALL


@pytest.mark.parametrize(
    "source",
    ["import time\nx = time.time()", "from time import time", "datetime.datetime.now(UTC)"],
)
def test_a_clock_that_can_jump_is_noticed(source: str) -> None:
    assert uses(source)


def test_nothing_that_decides_reads_a_clock_that_can_jump() -> None:
    assert len(FILES) > 50
    found = {str(path): uses(path.read_text()) for path in FILES}
    assert {path: clocks for path, clocks in found.items() if clocks} == {}
