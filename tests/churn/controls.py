"""Meltemi with one thing left out: what the checks of a run must notice.

Run as a program: ``python controls.py NAME serve ...`` is ``meltemi serve ...`` so changed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meltemi.controller import plane
from meltemi.protocols import servable
from meltemi.protocols.types import type_table
from meltemi.xds import resource
from meltemi.xds.group import Group
from meltemi.xds.resource import Removal
from meltemi.xds.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from meltemi.xds.resource import Key, TypeRules
    from meltemi.xds.snapshot import Snapshot


FORGOTTEN = "side-0.example"


def no_make_before_break() -> None:
    """Everything at once: routes to new clusters, and removals."""

    def naive(route_types: Iterable[str]) -> tuple[TypeRules, ...]:
        table = type_table(route_types)
        return tuple(
            replace(
                rules,
                gated=False,
                removal=Removal.AT_ONCE if rules.removal is Removal.LINGER else rules.removal,
            )
            for rules in table
        )

    plane.type_table = naive  # type: ignore[attr-defined]


def no_assignment_again() -> None:
    """A cluster that changed does not bring its assignment again."""

    def nothing(*_: Any) -> tuple[Key, ...]:
        return ()

    Session._children = nothing  # type: ignore[assignment, method-assign]


def a_change_forgotten() -> None:
    """Streams do not hear of the endpoints of one service."""
    publish = Group.publish

    def forgetful(group: Group, snapshot: Snapshot, changed: Collection[Key]) -> None:
        heard = [
            key
            for key in changed
            if key.type_url != resource.ENDPOINT or not key.name.endswith(FORGOTTEN)
        ]
        publish(group, snapshot, heard)

    Group.publish = forgetful  # type: ignore[assignment, method-assign]


def a_bad_rule_sent() -> None:
    """A regex goes to the proxy whatever it is."""

    def fine(_: str) -> None:
        return None

    servable.regex_error = fine  # type: ignore[assignment, attr-defined]


CONTROLS: Mapping[str, Callable[[], None]] = {
    "no-make-before-break": no_make_before_break,
    "no-assignment-again": no_assignment_again,
    "a-change-forgotten": a_change_forgotten,
    "a-bad-rule-sent": a_bad_rule_sent,
}


def program(control: str) -> Sequence[str]:
    """What to start: Meltemi, or Meltemi changed."""
    return ("-m", "tests.churn.controls", control) if control else ("-m", "meltemi")


def main() -> None:
    """``meltemi`` with the arguments that follow the control's name."""
    from meltemi.__main__ import main as meltemi

    CONTROLS[sys.argv.pop(1)]()
    meltemi()


if __name__ == "__main__":
    main()
