"""A slice of ``make churn``: it is good, and with one thing left out of Meltemi it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.churn.__main__ import options
from tests.churn.cell import Cell, Result, run
from tests.churn.controls import CONTROLS
from tests.churn.holding import differences
from tests.churn.page import page, row

if TYPE_CHECKING:
    from pathlib import Path

SYMPTOMS = {
    "no-make-before-break": "cluster",
    "no-assignment-again": "warming_clusters",
    "a-change-forgotten": "endpoints: ",
    "a-bad-rule-sent": "update_rejected",
}


@pytest.mark.envoy
async def test_an_envoy_holds_what_it_should_and_no_call_fails_over_cuts_and_restarts(
    tmp_path: Path,
) -> None:
    result = await run(Cell("1.40.0", "sotw", "unified"), 30, 1, tmp_path)
    assert result.troubles == []
    assert result.good
    assert result.changes == 30
    assert result.events == {"cut": 1, "kill": 1}
    assert result.snapshots > 20


@pytest.mark.envoy
@pytest.mark.parametrize(("control", "symptom"), SYMPTOMS.items(), ids=SYMPTOMS)
async def test_what_is_left_out_is_noticed(tmp_path: Path, control: str, symptom: str) -> None:
    """The seed brings early what each of them needs: new clusters, changed ones, a bad regex."""
    result = await run(Cell("1.40.0", "delta", "legacy"), 14, 137, tmp_path, control)
    assert any(symptom in trouble for trouble in result.troubles), result.troubles
    assert not result.good


def test_every_control_has_a_symptom() -> None:
    assert SYMPTOMS.keys() == CONTROLS.keys()


def test_a_difference_is_told_once_for_each_resource() -> None:
    should = {"clusters": {"a": 1, "b": 2, "c": 3}, "routes": {}}
    does = {"clusters": {"a": 1, "b": 4, "d": 5}, "routes": {}}
    assert differences(should, does) == [
        "clusters: c is missing",
        "clusters: d is too many",
        "clusters: b is 4 and should be 2",
    ]


def test_filters_leave_a_part_of_the_matrix_and_a_part_is_no_page() -> None:
    assert len(options([]).cells) == 20
    assert options([]).complete
    part = options(
        ["--envoy", "1.40", "--dialect", "delta", "--mux", "unified", "--changes", "200"]
    )
    assert part.cells == (Cell("1.40.0", "delta", "unified"),)
    assert not part.complete
    assert not options(["--control", "a-bad-rule-sent"]).complete


def test_the_page_tells_each_cell_and_what_was_not_good() -> None:
    good = Result("1.40.0", "delta", "legacy", changes=10, calls=100, on_new=20)
    bad = Result("1.36.4", "sotw", "legacy", changes=10, calls=50, failed={"dubbo: no": 2})
    text = " ".join(page([good, bad], 7, "abc1234").split())
    assert row(good) in text
    assert "- 1.36.4 sotw legacy: 2 calls failed: dubbo: no" in text
    assert "**150 calls, 20 of them on connections of their own, 2 failed**" in text
    assert "Commit `abc1234`" in text
    assert "1 of 2 cells good" in text
