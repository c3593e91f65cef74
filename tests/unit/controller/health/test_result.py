"""What a line says, and where more is said about it."""

from __future__ import annotations

import re
from pathlib import Path

from meltemi.controller.health.result import NAMES, State, error, fine, listed, warning

DOCS = Path(__file__).parents[4] / "docs"


def test_each_check_has_its_chapter_in_their_order() -> None:
    page = (DOCS / "check.md").read_text()
    assert tuple(re.findall(r"^## (.*)$", page, re.MULTILINE)) == NAMES


def test_a_line_is_the_same_for_programs_and_leads_to_its_chapter() -> None:
    assert error("crds", "a is not there", "define it", "a").to_dict() == {
        "check": "crds",
        "about": "a",
        "state": "error",
        "text": "a is not there",
        "hint": "define it",
        "doc": "docs/check.md#crds",
    }


def test_how_it_is_decides_the_mark() -> None:
    marks = [each.state.value for each in (fine("api", ""), warning("api", "", ""))]
    assert [*marks, State.ERROR.value] == ["√", "‼", "×"]  # noqa: RUF001  # a cross


def test_of_many_names_the_first_are_told_and_the_rest_counted() -> None:
    assert listed("abc") == "a, b, c"
    assert listed("abcde") == "a, b, c and 2 more"
