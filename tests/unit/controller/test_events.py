"""The catalogue of the log's entries is what the program says, no more and no less."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meltemi.controller.events import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
NAME = re.compile(r"[a-z]+\.[a-z_]+")
LEVELS = {"debug", "info", "warning", "error", "exception"}


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every call that makes an entry."""
    for folder in ("controller", "xds", "protocols"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _speaks(node.func) and node.args:
                    (first, *_) = node.args
                    assert isinstance(first, ast.Constant), f"{path}: the name is no constant"
                    yield str(first.value), node


def _speaks(function: ast.expr) -> bool:
    """``log.info`` and its sisters, or ``say`` where the level depends on something."""
    if isinstance(function, ast.Attribute):
        return (
            isinstance(function.value, ast.Name)
            and function.value.id == "log"
            and function.attr in LEVELS
        )
    return isinstance(function, ast.Name) and function.id == "say"


@cache
def emitted() -> dict[str, list[ast.Call]]:
    found: dict[str, list[ast.Call]] = defaultdict(list)
    for name, call in calls():
        found[name].append(call)
    return found


def test_every_entry_is_in_the_catalogue_and_everything_in_the_catalogue_is_said() -> None:
    assert emitted().keys() == EVENTS.keys()


@pytest.mark.parametrize("name", EVENTS)
def test_an_entry_has_the_fields_and_the_level_of_the_catalogue(name: str) -> None:
    assert NAME.fullmatch(name)
    for call in emitted()[name]:
        fields = [keyword.arg for keyword in call.keywords]
        if isinstance(call.func, ast.Attribute):
            level = call.func.attr
            if level == "exception":
                level, fields = "error", [*fields, "exc_info"]
            assert level == EVENTS[name].level
        if None not in fields:  # else a finding, whose fields are its own
            assert set(fields) == set(EVENTS[name].fields)
