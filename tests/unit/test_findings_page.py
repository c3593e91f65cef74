"""The documentation's list of findings is the catalogue."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_documented_findings_are_those_of_the_catalogue() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "findings_page.py"))["page"]
    assert (ROOT / "docs" / "findings.md").read_text() == page()
