"""An object's problems and its tally, in the words of conditions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.statuses.conditions import (
    LONGEST_MESSAGE,
    SPEAKS,
    Facts,
    Reason,
    Type,
    status,
)
from meltemi.controller.statuses.tally import LONGEST_WORDS, Tally, Words
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import CODES, Problem

if TYPE_CHECKING:
    from meltemi.controller.crds.status import Condition, Status

ABOUT = Ref("MetaRouter", "default", "shop")
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
FINE = Facts(ABOUT, 3, readable=True, in_force=3, problems=(), tally=Tally(3, acked=2))


def problem(code: str, cause: str = "the cause", next_step: str = "the next step") -> Problem:
    return Problem(code, ABOUT.at("spec.routes[0]"), cause, next_step)


def conditions(found: Status) -> dict[str, Condition]:
    return {each.type: each for each in found.conditions}


def one(facts: Facts, type: Type) -> tuple[str, str, str]:
    found = conditions(status(facts, None, EARLY))[type]
    return found.status, found.reason, found.message


def test_every_code_speaks_for_a_condition() -> None:
    assert SPEAKS.keys() == CODES.keys()


def test_all_conditions_are_told_in_their_order_each_with_the_generation() -> None:
    found = status(FINE, None, EARLY)
    assert [each.type for each in found.conditions] == [each.value for each in Type]
    assert {each.observed_generation for each in found.conditions} == {3}
    assert found.observed_generation == 3
    assert {each.status for each in found.conditions if each.type != "Conflicted"} == {"True"}


@pytest.mark.parametrize(
    ("tally", "reason"),
    [
        (Tally(acked=2), Reason.PROGRAMMED),
        (Tally(), Reason.NO_PROXIES),
        (Tally(acked=1, pending=1), Reason.PENDING),
        (Tally(nacked=2), Reason.PROXY_REJECTED),
        (Tally(nacked=2, unsupported=1), Reason.PROXY_REJECTED),
        (Tally(nacked=1, acked=1), Reason.PARTIALLY_REJECTED),
        (Tally(nacked=1, pending=1), Reason.PARTIALLY_REJECTED),
        (Tally(unsupported=1, acked=1), Reason.FILTER_UNSUPPORTED),
        (Tally(unsupported=1, pending=1), Reason.FILTER_UNSUPPORTED),
    ],
)
def test_programmed_is_true_only_when_every_proxy_has_accepted(
    tally: Tally, reason: Reason
) -> None:
    holds, why, _ = one(replace(FINE, tally=tally), Type.PROGRAMMED)
    assert (holds, why) == ("True" if reason is Reason.PROGRAMMED else "False", reason)


def test_the_rollout_is_numbers_only() -> None:
    found = status(replace(FINE, tally=Tally(3, 1, 2, 3, 4)), None, EARLY).rollout
    assert (found.proxies, found.acked, found.nacked, found.pending, found.unsupported) == (
        10,
        1,
        2,
        3,
        4,
    )


def test_a_refusal_is_told_in_the_proxys_words_with_what_to_do() -> None:
    tally = Tally(3, acked=1, nacked=1, words=Words("edge-1", "bad regex"))
    message = one(replace(FINE, tally=tally), Type.PROGRAMMED)[2]
    assert "1 of 2 proxies" in message
    assert "edge-1 says: bad regex" in message
    assert "correct the object" in message


def test_a_port_that_is_taken_on_a_machine_is_not_the_authors_to_mend() -> None:
    tally = Tally(3, nacked=1, words=Words("edge-1", "cannot bind: Address already in use"))
    assert "free the port" in one(replace(FINE, tally=tally), Type.PROGRAMMED)[2]


def test_what_cannot_be_read_says_which_generation_stays_in_force() -> None:
    facts = replace(FINE, readable=False, problems=(problem("MEL0102"),), in_force=2)
    holds, reason, message = one(facts, Type.ACCEPTED)
    assert (holds, reason) == ("False", "Invalid")
    assert message.startswith("MEL0102 MetaRouter default/shop spec.routes[0]: the cause; ")
    assert message.endswith("the next step; generation 2 stays in force")
    assert one(facts, Type.PROGRAMMED)[:2] == ("False", "NotAccepted")
    assert one(replace(facts, in_force=None), Type.ACCEPTED)[2].endswith(
        "nothing of it is in force"
    )


def test_what_is_locked_because_it_cannot_be_read_does_not_claim_to_be_in_force() -> None:
    facts = replace(FINE, readable=False, problems=(problem("MEL0409"),), in_force=3)
    assert one(facts, Type.ACCEPTED)[2].endswith("what it guards is locked")


def test_of_an_object_of_which_nothing_is_made_it_is_told_what_it_may_lack() -> None:
    nobody = replace(FINE, tally=Tally(3))
    assert "meltemi proxies" in one(nobody, Type.PROGRAMMED)[2]
    assert "a port of a protocol" in one(replace(nobody, in_force=None), Type.PROGRAMMED)[2]


def test_a_part_that_is_left_out_is_not_accepted_and_a_warning_is() -> None:
    partly = replace(FINE, problems=(problem("MEL0103"), problem("MEL0305")))
    assert one(partly, Type.ACCEPTED)[:2] == ("False", "PartiallyInvalid")
    assert one(partly, Type.ACCEPTED)[2].startswith("MEL0305")
    assert "1 more" in one(partly, Type.ACCEPTED)[2]
    warned = replace(FINE, problems=(problem("MEL0103"),))
    assert one(warned, Type.ACCEPTED)[:2] == ("True", "AcceptedWithWarnings")


@pytest.mark.parametrize(
    ("code", "type", "holds", "reason"),
    [
        ("MEL0301", Type.RESOLVED_REFS, "False", "DestinationNotFound"),
        ("MEL0403", Type.RESOLVED_REFS, "False", "SecretNotFound"),
        ("MEL0308", Type.EFFECTIVE, "False", "HostNotFound"),
        ("MEL0309", Type.EFFECTIVE, "False", "Overruled"),
        ("MEL0309", Type.CONFLICTED, "True", "Overruled"),
        ("MEL0310", Type.EFFECTIVE, "False", "Unreachable"),
        ("MEL0315", Type.EFFECTIVE, "False", "NoRouteLeft"),
        ("MEL0207", Type.CONFLICTED, "True", "HostClaimed"),
    ],
)
def test_each_code_speaks_where_it_belongs(code: str, type: Type, holds: str, reason: str) -> None:
    facts = replace(FINE, in_force=None, problems=(problem(code),))
    found = conditions(status(facts, None, EARLY))
    assert (found[type].status, found[type].reason) == (holds, reason)
    others = set(Type) - {each.type for each in SPEAKS[code]} - {Type.PROGRAMMED}
    for other in others:
        assert found[other].status == ("False" if other is Type.CONFLICTED else "True")


def test_an_object_of_which_a_part_has_an_effect_is_effective() -> None:
    facts = replace(FINE, problems=(problem("MEL0310"),))
    assert one(facts, Type.EFFECTIVE)[:2] == ("True", "PartiallyEffective")


def test_an_object_of_which_nothing_is_in_force_is_not_programmed() -> None:
    facts = replace(FINE, in_force=None, problems=(problem("MEL0308"),), tally=Tally(3))
    assert one(facts, Type.PROGRAMMED)[:2] == ("False", "NotInForce")
    assert "the cause" in one(facts, Type.PROGRAMMED)[2]


def test_the_time_is_that_of_the_last_change_of_the_status_not_of_the_reason() -> None:
    first = status(FINE, None, EARLY)
    pending = status(replace(FINE, tally=Tally(3, pending=1)), first, LATE)
    lacking = status(replace(FINE, tally=Tally(3, unsupported=1)), pending, "never")
    times = {type: each.last_transition_time for type, each in conditions(lacking).items()}
    assert times.pop("Programmed") == LATE
    assert set(times.values()) == {EARLY}
    assert status(FINE, first, LATE) == first


@given(
    st.sets(st.sampled_from(sorted(CODES))),
    st.text(max_size=5000),
    st.booleans(),
    st.none() | st.integers(0, 3),
    st.builds(Tally, *[st.integers(0, 3)] * 5),
)
def test_whatever_is_wrong_a_message_is_short_and_a_reason_from_the_list(
    codes: set[str], text: str, readable: bool, in_force: int | None, tally: Tally
) -> None:
    words = Words("edge", text[:LONGEST_WORDS]) if tally.nacked else None
    facts = Facts(
        ABOUT,
        3,
        readable,
        in_force,
        [problem(code, text, text) for code in sorted(codes)],
        replace(tally, words=words),
    )
    found = status(facts, None, EARLY)
    for condition in found.conditions:
        assert len(condition.message) <= LONGEST_MESSAGE
        assert Reason(condition.reason)
    programmed = conditions(found)["Programmed"]
    accepted_by_all = tally.acked == tally.proxies > 0
    assert programmed.status == "False" or (accepted_by_all and readable)


def test_every_reason_is_documented() -> None:
    page = (Path(__file__).parents[4] / "docs" / "status.md").read_text()
    assert [each.value for each in Reason if f"`{each.value}`" not in page] == []
