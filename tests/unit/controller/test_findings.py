"""Problems as users and programs see them."""

from __future__ import annotations

import pytest

from meltemi.controller.findings import Finding, count, fails, findings
from meltemi.controller.sources import Place
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem, Severity

ABOUT = Ref("MetaRouter", "demo", "shop", 3, "spec.routes[0]")
ERROR = Problem("MEL0304", ABOUT, "the weights are 1, 2", "make them 100")
WARNING = Problem("MEL0103", ABOUT.at("spec.x"), "spec.x is no known field", "remove it")
INFO = Problem("MEL0105", ABOUT.at("kind"), "it is not read", "nothing")


def test_a_finding_is_a_flat_record() -> None:
    assert Finding(ERROR, "a.yaml", 7).to_dict() == {
        "code": "MEL0304",
        "severity": "error",
        "kind": "MetaRouter",
        "namespace": "demo",
        "name": "shop",
        "field": "spec.routes[0]",
        "file": "a.yaml",
        "line": 7,
        "title": "Weights are out of range or do not sum to 100",
        "cause": "the weights are 1, 2",
        "next_step": "make them 100",
    }


def test_findings_are_in_reading_order_and_each_stands_there_once() -> None:
    lines = {ERROR: 9, WARNING: 2, INFO: 9}
    found = findings([INFO, ERROR, WARNING, ERROR], lambda problem: Place("a", lines[problem]))
    assert [finding.problem for finding in found] == [WARNING, ERROR, INFO]


def test_without_places_a_finding_has_none() -> None:
    assert findings([ERROR], lambda _: None) == findings([ERROR]) == (Finding(ERROR),)


def test_all_severities_are_counted() -> None:
    found = findings([ERROR, WARNING])
    assert count(found) == {Severity.ERROR: 1, Severity.WARNING: 1, Severity.INFO: 0}


@pytest.mark.parametrize(
    ("problem", "fail_on", "expected"),
    [
        (ERROR, Severity.ERROR, True),
        (WARNING, Severity.ERROR, False),
        (WARNING, Severity.WARNING, True),
        (ERROR, Severity.INFO, True),
        (INFO, Severity.WARNING, False),
    ],
)
def test_what_is_bad_enough_fails(problem: Problem, fail_on: Severity, expected: bool) -> None:
    assert fails(findings([problem]), fail_on) is expected
