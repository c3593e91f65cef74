"""The documentation's table is what the tests hold."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_documented_conformance_is_that_of_the_scenarios() -> None:
    page = runpy.run_path(str(ROOT / "scripts" / "conformance_page.py"))["page"]
    assert (ROOT / "docs" / "conformance.md").read_text() == page()
