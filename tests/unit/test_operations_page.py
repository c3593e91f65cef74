"""The page for operators has the metrics and the entries of the log that there are."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from meltemi.controller.events import EVENTS
from meltemi.controller.metrics import CATALOGUE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()


def test_the_tables_are_written_from_the_program() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "operations_page.py"))["page"]
    assert page(PAGE) == PAGE


def test_every_metric_and_every_entry_has_its_row() -> None:
    for name in (*(spec.name for spec in CATALOGUE), *EVENTS):
        assert PAGE.count(f"\n| `{name}` |") == 1


def test_conditions_are_about_metrics_that_exist() -> None:
    named = set(re.findall(r"meltemi_[a-z_]+", PAGE))
    known = {f"{spec.name}{suffix}" for spec in CATALOGUE for suffix in ("", "_bucket", "_sum")}
    assert named <= known
