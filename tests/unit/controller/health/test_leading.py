"""Who leads, and whether the others are heard of."""

from __future__ import annotations

from typing import Any

import pytest

from meltemi.controller.health.leading import (
    lease_results,
    replica_results,
    reporters,
    version_results,
)
from meltemi.controller.health.result import State
from meltemi.controller.kube.timestamps import micro_time

NOW = 1_800_000_000.0


def lease(age: float, holder: str = "meltemi-a_1") -> dict[str, Any]:
    at = micro_time(NOW - age)
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": at}
    return {"spec": {**spec, "acquireTime": at, "leaseTransitions": 1}}


def judged(body: dict[str, Any] | None) -> tuple[State, str]:
    (found,) = lease_results(body, NOW)
    return found.state, found.text


def test_a_leader_that_renews_is_fine() -> None:
    assert judged(lease(2)) == (State.FINE, "meltemi-a_1 leads")
    # Its clock may be a little behind, or ahead.
    assert judged(lease(19))[0] is State.FINE
    assert judged(lease(-3))[0] is State.FINE


def test_a_leader_that_is_gone_is_an_error_for_as_long_as_nobody_takes_over() -> None:
    state, text = judged(lease(60))
    assert (state, text) == (
        State.ERROR,
        "meltemi-a_1 leads and is gone for 60 s: nobody writes what becomes of rules",
    )


@pytest.mark.parametrize("body", [None, {}, lease(2, holder="")])
def test_nobody_who_leads_is_a_warning(body: dict[str, Any] | None) -> None:
    assert judged(body)[0] is State.WARNING


@pytest.mark.parametrize("change", [{"renewTime": "soon"}, {"leaseDurationSeconds": "a while"}])
def test_a_lease_that_cannot_be_read_is_an_error(change: dict[str, Any]) -> None:
    body = lease(2)
    body["spec"] |= change
    assert judged(body)[0] is State.ERROR


def report(name: str, *times: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "managedFields": [{"time": time} for time in times]}}


def test_a_report_is_as_old_as_its_last_write() -> None:
    bodies = [report("a", "2027-01-15T08:00:00Z", "2027-01-15T07:00:00Z"), report("b")]
    assert reporters([*bodies, report("c", "soon")]) == {"a": NOW, "b": 0.0, "c": 0.0}


def test_replicas_that_report_are_counted_and_a_silent_one_is_a_warning() -> None:
    (alone,) = replica_results({}, NOW)
    (one,) = replica_results({"a": NOW - 6}, NOW)
    (late,) = replica_results({"a": NOW, "b": NOW - 30, "c": NOW}, NOW)
    assert [each.state for each in (alone, one, late)] == [*(State.FINE,) * 2, State.WARNING]
    assert alone.text == "replicas that report to a leader: none"
    assert one.text == "replicas that report to a leader: 1"
    assert late.text == "not heard of for more than 15 s: b"


def test_different_versions_side_by_side_are_a_warning() -> None:
    assert [*version_results({"http://a": "1"})] == []
    (same,) = version_results({"http://a": "1", "http://b": "1"})
    (different,) = version_results({"http://a": "1", "http://b": "2"})
    assert (same.state, different.state) == (State.FINE, State.WARNING)
    assert different.text == "they run different versions: 1, 2"
