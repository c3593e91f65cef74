"""What the demo claims holds only if it was observed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meltemi.demo.claims import (
    Observed,
    Told,
    Totals,
    connections_claim,
    failures_claim,
    finding_claim,
    fixed_claim,
    passage_claim,
    records_claim,
    step_claim,
)
from meltemi.demo.story import STEPS

WEIGHTS = STEPS[0]
GOOD = Observed(saved=0.0, change=0.02, before=0.2, after=0.9, calls=1000, failed=0)
TOLD = Told("MEL0302", "title", "rule.yaml:14", "cause", "next step", after=0.02)
TELLING = "The mistake is told"
TOTALS = Totals(calls=1000, failed=0, reconnects=0, connections=28)


def test_a_step_that_did_what_it_promised_holds() -> None:
    claim = step_claim(WEIGHTS, GOOD)
    assert claim.held
    assert claim.measured == (
        "first changed answer after 20 ms; v1/v2 80/20 → 10/90; 0 of 1,000 calls failed"
    )


@pytest.mark.parametrize(
    ("observed", "measured"),
    [
        (replace(GOOD, change=None), "first changed answer never"),
        (replace(GOOD, before=0.3), "70/30 → 10/90"),
        (replace(GOOD, after=0.5), "80/20 → 50/50"),
        (replace(GOOD, failed=1), "1 of 1,000 calls failed"),
    ],
)
def test_a_step_that_did_not_is_told_with_what_was_measured(
    observed: Observed, measured: str
) -> None:
    claim = step_claim(WEIGHTS, observed)
    assert not claim.held
    assert measured in claim.measured


def test_a_finding_must_have_come_and_say_where_why_and_what_to_do() -> None:
    assert finding_claim(TELLING, TOLD).held
    assert not finding_claim(TELLING, None).held
    for lacking in (
        replace(TOLD, where=""),
        replace(TOLD, cause=""),
        replace(TOLD, next_step=""),
    ):
        assert not finding_claim(TELLING, lacking).held


def test_an_error_that_stays_after_the_correction_is_no_correction() -> None:
    assert fixed_claim(0).held
    assert not fixed_claim(1).held


def test_no_failed_call_is_a_claim_about_calls_that_were_made() -> None:
    assert failures_claim(TOTALS).held
    assert not failures_claim(replace(TOTALS, failed=1)).held
    assert not failures_claim(replace(TOTALS, calls=0)).held


def test_no_reconnect_is_a_claim_about_connections_that_were_open() -> None:
    assert connections_claim(TOTALS).held
    assert not connections_claim(replace(TOTALS, reconnects=1)).held
    assert not connections_claim(replace(TOTALS, connections=0)).held


@pytest.mark.parametrize(
    ("written", "lost", "failed", "held"),
    [(100, 0, 0, True), (100, 1, 0, False), (100, 0, 1, False), (0, 0, 0, False)],
)
def test_records_are_claimed_when_all_of_some_are_there(
    written: int, lost: int, failed: int, held: bool
) -> None:
    assert records_claim(written, lost, failed).held is held


@pytest.mark.parametrize(
    ("passed", "direct", "held"),
    [([3, 1, 1], 0, True), ([3, 1, 1], 1, False), ([3, 1, 0], 0, False)],
)
def test_the_way_through_envoy_is_claimed_when_each_listener_was_used_and_nobody_went_round(
    passed: list[int], direct: int, held: bool
) -> None:
    assert passage_claim(passed, direct).held is held
