"""What to write so that an object says what is known of it: nothing, if it says that already."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec

from meltemi.controller.kube.mirror import mappings
from meltemi.controller.statuses.conditions import Reason, Type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meltemi.controller.crds.status import Condition, Status
    from meltemi.controller.kube.mirror import Body

OURS = frozenset(Type)
"""Types of conditions that are Meltemi's to write. Others in the list belong to others."""

PASSING = {Reason.PENDING, Reason.NO_PROXIES, Reason.NOT_ACCEPTED}
"""Reasons why a condition is not as it should be that are no problem of its own."""


class Urgency(IntEnum):
    """What goes first when there is much to write."""

    PROBLEM = 0
    STATE = 1
    NUMBERS = 2


@dataclass(frozen=True, slots=True)
class Transition:
    """A condition that is not what it was. ``before`` is its status then, empty if it had none."""

    before: str
    condition: Condition

    @property
    def is_good(self) -> bool:
        """Whether it is as it should be now."""
        good = "False" if self.condition.type == Type.CONFLICTED else "True"
        return self.condition.status == good

    @property
    def is_problem(self) -> bool:
        """Whether somebody should look at it."""
        return not self.is_good and self.condition.reason not in PASSING

    @property
    def is_loss(self) -> bool:
        """Whether all proxies that had accepted the object are gone."""
        return self.before == "True" and self.condition.reason == Reason.NO_PROXIES

    @property
    def passes(self) -> bool:
        """Whether it may well be something else in a moment."""
        return self.is_loss or self.condition.reason == Reason.PENDING


@dataclass(frozen=True, slots=True)
class Update:
    """``status`` is a merge patch of the object's status."""

    status: Mapping[str, Any]
    transitions: tuple[Transition, ...]
    urgency: Urgency


def update(wanted: Status, present: Body) -> Update | None:
    """From the status that the object has to the one that it should have. A condition whose status
    stays keeps the time of its transition.
    """
    before = {str(each.get("type")): each for each in mappings(present.get("conditions"))}
    conditions = {
        each.type: _condition(each, before.get(each.type, {})) for each in wanted.conditions
    }
    foreign = {name: each for name, each in before.items() if name not in OURS}
    body = msgspec.to_builtins(wanted) | {
        # In the order that they have, so that nothing moves that nobody changed.
        "conditions": [
            found
            for name in dict.fromkeys((*before, *conditions))
            if (found := conditions.get(name) or foreign.get(name)) is not None
        ]
    }
    if all(present.get(name) == value for name, value in body.items()):
        return None
    transitions = tuple(_transitions(wanted, before))
    return Update(body, transitions, _urgency(wanted, present, transitions))


def _condition(wanted: Condition, before: Body) -> Body:
    since = before.get("lastTransitionTime")
    kept = since if since and before.get("status") == wanted.status else wanted.last_transition_time
    return {**msgspec.to_builtins(wanted), "lastTransitionTime": kept}


def _transitions(wanted: Status, before: Mapping[str, Body]) -> Iterator[Transition]:
    """Conditions whose status or reason changes; a problem also when its words do."""
    for condition in wanted.conditions:
        old = before.get(condition.type, {})
        transition = Transition(str(old.get("status", "")), condition)
        same = old.get("status") == condition.status and old.get("reason") == condition.reason
        if not same or (transition.is_problem and old.get("message") != condition.message):
            yield transition


def _urgency(wanted: Status, present: Body, transitions: tuple[Transition, ...]) -> Urgency:
    if any(each.is_problem for each in transitions):
        return Urgency.PROBLEM
    if transitions or present.get("observedGeneration") != wanted.observed_generation:
        return Urgency.STATE
    return Urgency.NUMBERS
