"""What users write, and what Envoy gets: the review of a change is the diff of these files."""

from __future__ import annotations

import pytest

from tests import make
from tests.golden.cases import CASES, FOLDER, Case, text


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_documents_compile_to_the_golden_file(
    case: Case, request: pytest.FixtureRequest
) -> None:
    actual, golden = text(case), case.file(".out.yaml")
    if request.config.getoption("--update-golden"):
        golden.write_text(actual)
    assert actual == golden.read_text()


def test_every_file_belongs_to_a_case() -> None:
    known = {case.file(suffix) for case in CASES for suffix in (".in.yaml", ".out.yaml")}
    known |= {case.file(suffix) for case in CASES for suffix in (".node.json", ".metards.json")}
    assert {path for path in FOLDER.glob("*/*.*") if path.suffix != ".pyc"} <= known


def test_every_plugin_has_cases() -> None:
    assert {case.path.partition("/")[0] for case in CASES} == {
        entry.plugin.name for entry in make.registry()
    }


def test_no_golden_file_shows_a_password() -> None:
    shown = [case for case in CASES if "open-sesame" in case.file(".out.yaml").read_text()]
    assert shown == []
