"""What the API server's answer says of its version, its speed and its clock."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from meltemi.controller.health.apiserver import Answer, api_results, clock_results, failed
from meltemi.controller.health.result import State
from meltemi.controller.kube.api import ApiError

NOW = 1_800_000_000


def answer(
    version: str = "1.36", *, took: float = 0.004, ours: float = NOW, date: str | None = None
) -> Answer:
    major, _, minor = version.partition(".")
    said = {"major": major, "minor": minor, "gitVersion": f"v{version}.0"}
    date = formatdate(NOW, usegmt=True) if date is None else date
    return Answer(said, date, ours, ours + took, took)


def test_a_version_that_is_known_and_quick_is_fine() -> None:
    (found,) = api_results(answer())
    assert (found.state, found.text) == (State.FINE, "Kubernetes v1.36.0 answers in 4 ms")


@pytest.mark.parametrize(("version", "fine"), [("1.28", False), ("1.29", True), ("1.30+", True)])
def test_versions_that_lack_what_is_used_are_refused(version: str, fine: bool) -> None:
    (found,) = api_results(answer(version))
    assert (found.state is State.FINE) == fine


def test_a_slow_answer_is_a_warning() -> None:
    (found,) = api_results(answer(took=1.5))
    assert (found.state, found.text) == (
        State.WARNING,
        "Kubernetes v1.36.0 took 1.5 s for an answer",
    )


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (0, "the API server cannot be reached: why"),
        (401, "the API server does not know who asks: why"),
        (503, "the API server does not answer as it should: why"),
    ],
)
def test_without_an_answer_it_says_what_is_the_matter(status: int, text: str) -> None:
    found = failed(ApiError(status, "why"))
    assert (found.state, found.text) == (State.ERROR, text)
    assert found.hint


def test_a_certificate_that_nobody_trusts_leads_to_the_authority() -> None:
    assert "certificate-authority" in failed(ApiError(0, "[SSL: CERTIFICATE_VERIFY_FAILED]")).hint
    assert "certificate-authority" not in failed(ApiError(0, "Connection refused")).hint


@pytest.mark.parametrize(
    ("ahead", "state"),
    [
        (0.0, State.FINE),
        (0.9, State.FINE),  # the header tells full seconds
        (2.9, State.FINE),
        (3.5, State.WARNING),
        (-2.5, State.WARNING),
        (30.9, State.WARNING),
        (32.0, State.ERROR),
        (-31.0, State.ERROR),
    ],
)
def test_a_clock_is_off_by_what_is_certain(ahead: float, state: State) -> None:
    (found,) = clock_results(answer(ours=NOW + ahead, took=0.0))
    assert found.state is state


def test_it_says_which_clock_is_ahead() -> None:
    (ahead,) = clock_results(answer(ours=NOW + 61))
    (behind,) = clock_results(answer(ours=NOW - 60, took=0.0))
    assert ahead.text == "the clock here is 60 s ahead of the server's"
    assert behind.text == "the clock here is 60 s behind the server's"


def test_an_answer_that_took_long_makes_no_clock_wrong() -> None:
    (found,) = clock_results(answer(ours=NOW - 40, took=45.0))
    assert found.state is State.FINE


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_server_that_tells_no_time_is_a_warning(date: str) -> None:
    (found,) = clock_results(answer(date=date))
    assert found.state is State.WARNING
