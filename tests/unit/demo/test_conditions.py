"""What the demo reads from the statuses of its objects, as Meltemi writes them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from meltemi.controller.statuses.conditions import Facts, status
from meltemi.controller.statuses.tally import Tally
from meltemi.demo.conditions import Standing, corrected_claim, told_on
from meltemi.demo.story import BROKEN_CODE
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import CODES, Problem

ABOUT = Ref("MetaRouter", "demo", "orders")
CAUSE = "no DestinationRule of 'orders.example' defines the subset 'v3'; it is: v1, v2"
MISTAKE = Problem(BROKEN_CODE, ABOUT.at("spec.routes[0].route"), CAUSE, "define it")


def standing(*problems: Problem, generation: int = 3, pending: int = 0) -> Standing:
    """An object of a cluster, with the status that Meltemi gave to its generation 3."""
    tally = Tally(3, acked=1 - pending, pending=pending)
    facts = Facts(ABOUT, 3, readable=True, in_force=3, problems=problems, tally=tally)
    said = msgspec.to_builtins(status(facts, None, "2030-01-01T00:00:00Z"))
    body = {"metadata": {"name": "orders", "generation": generation}, "status": said}
    return Standing("metarouter/orders", body)


def test_a_mistake_is_found_with_its_field_cause_and_next_step() -> None:
    told = told_on([standing(), standing(MISTAKE)], BROKEN_CODE)
    assert told is not None
    assert (told.code, told.title) == (BROKEN_CODE, CODES[BROKEN_CODE].title)
    assert told.where == (
        "metarouter/orders ResolvedRefs=False (DestinationNotFound) at spec.routes[0].route"
    )
    assert (told.cause, told.next_step) == (CAUSE, "define it")


@pytest.mark.parametrize("code", [BROKEN_CODE, "MEL0401"])
def test_another_mistake_or_none_is_not_the_one_that_was_made(code: str) -> None:
    objects = [standing(MISTAKE)] if code != BROKEN_CODE else [standing()]
    assert told_on(objects, code) is None


def test_objects_that_say_programmed_are_corrected() -> None:
    claim = corrected_claim([standing(), standing()])
    assert (claim.held, claim.measured) == (True, "2 objects")


@pytest.mark.parametrize(
    ("found", "measured"),
    [
        (standing(pending=1), "metarouter/orders Programmed=False (Pending): 1 of 1 proxy did not"),
        (standing(generation=4), "metarouter/orders: nothing is said of generation 4"),
        (Standing("redisservice/sessions", {"metadata": {}}), "does not say Programmed"),
    ],
)
def test_one_object_that_does_not_is_no_correction(found: Standing, measured: str) -> None:
    claim = corrected_claim([standing(), found])
    assert not claim.held
    assert measured in claim.measured


def test_nothing_is_claimed_of_no_objects() -> None:
    assert not corrected_claim([]).held


def test_an_object_without_a_status_tells_nothing() -> None:
    body: dict[str, Any] = {"metadata": {"name": "orders"}}
    assert told_on([Standing("metarouter/orders", body)], BROKEN_CODE) is None
