"""From the status that an object has to the one that it should have."""

from __future__ import annotations

from typing import Any

import msgspec

from meltemi.controller.crds.status import Condition, Rollout, Status
from meltemi.controller.kube.status_update import Transition, Urgency, update

THEN, NOW = "2027-01-15T08:00:00Z", "2027-01-15T09:00:00Z"


def condition(
    kind: str = "Programmed",
    status: str = "True",
    reason: str = "Programmed",
    message: str = "",
    generation: int = 1,
    since: str = NOW,
) -> Condition:
    wanted = {"type": kind, "status": status, "reason": reason, "message": message}
    wanted |= {"lastTransitionTime": since}
    return msgspec.convert({**wanted, "observedGeneration": generation}, Condition)


def wanted(*conditions: Condition, generation: int = 1, proxies: int = 2) -> Status:
    return Status(generation, conditions, Rollout(proxies=proxies, acked=proxies))


def written(status: Status, *foreign: dict[str, Any]) -> dict[str, Any]:
    """As the API server has it."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(status))
    return {**found, "conditions": [*foreign, *found["conditions"]]}


REJECTED = condition(status="False", reason="ProxyRejected", message="bad address")


def test_what_stands_there_already_is_not_written() -> None:
    status = wanted(condition(), condition("Accepted", reason="Accepted"))
    assert update(status, written(status)) is None


def test_a_later_time_alone_is_nothing_to_write() -> None:
    before = wanted(condition(since=THEN))
    assert update(wanted(condition(since=NOW)), written(before)) is None


def test_a_condition_whose_status_stays_keeps_the_time_of_its_transition() -> None:
    before = written(wanted(condition(since=THEN)))
    found = update(wanted(condition(message="2 proxies", since=NOW)), before)
    assert found is not None
    assert found.status["conditions"][0]["lastTransitionTime"] == THEN


def test_a_condition_whose_status_changes_has_the_time_of_now() -> None:
    found = update(wanted(REJECTED), written(wanted(condition(since=THEN))))
    assert found is not None
    assert found.status["conditions"][0]["lastTransitionTime"] == NOW


def test_conditions_of_others_stay_as_they_are_and_where_they_are() -> None:
    foreign = {"type": "Audited", "status": "True", "reason": "Fine", "anything": [1]}
    before = written(wanted(condition()), foreign)
    assert update(wanted(condition()), before) is None
    found = update(wanted(REJECTED, condition("Accepted")), before)
    assert found is not None
    assert [each["type"] for each in found.status["conditions"]] == [
        "Audited",
        "Programmed",
        "Accepted",
    ]
    assert found.status["conditions"][0] == foreign


def test_a_condition_of_ours_that_nobody_wants_any_more_goes() -> None:
    before = written(wanted(condition(), condition("Effective", "False", "Shadowed")))
    found = update(wanted(condition()), before)
    assert found is not None
    assert [each["type"] for each in found.status["conditions"]] == ["Programmed"]


def test_numbers_that_are_zero_now_are_written_as_zero() -> None:
    found = update(wanted(proxies=0), written(wanted(proxies=2)))
    assert found is not None
    assert found.status["rollout"] == {
        "proxies": 0,
        "acked": 0,
        "nacked": 0,
        "pending": 0,
        "unsupported": 0,
    }


def test_whatever_somebody_wrote_into_the_status_is_survived() -> None:
    accidents: tuple[dict[str, Any], ...] = (
        {},
        {"conditions": "none"},
        {"conditions": [None, 1, {}]},
        {"rollout": 7},
    )
    for present in accidents:
        assert update(wanted(condition()), present) is not None


def test_problems_go_first_and_mere_numbers_last() -> None:
    before = written(wanted(condition()))
    cases = {
        wanted(REJECTED): Urgency.PROBLEM,
        wanted(condition(status="False", reason="Pending")): Urgency.STATE,
        wanted(condition(), generation=2): Urgency.STATE,
        wanted(condition("Conflicted", "True", "Conflict"), condition()): Urgency.PROBLEM,
        wanted(condition("Conflicted", "False", "NoConflict"), condition()): Urgency.STATE,
        wanted(condition(message="3 proxies"), proxies=3): Urgency.NUMBERS,
    }
    for status, urgency in cases.items():
        found = update(status, before)
        assert found is not None
        assert found.urgency is urgency, status


def test_transitions_are_what_is_not_as_it_was_and_what_is_wrong_in_other_words() -> None:
    before = written(wanted(REJECTED))
    fixed, other = condition(), condition(status="False", reason="ProxyRejected", message="worse")
    assert _transitions(wanted(fixed), before) == (Transition("False", fixed),)
    assert _transitions(wanted(other), before) == (Transition("False", other),)
    assert _transitions(wanted(fixed, proxies=7), written(wanted(condition()))) == ()
    assert _transitions(wanted(fixed), {}) == (Transition("", fixed),)


def _transitions(status: Status, before: dict[str, Any]) -> tuple[Transition, ...]:
    found = update(status, before)
    assert found is not None
    return found.transitions
