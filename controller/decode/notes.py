"""What is wrong with one object, collected while it is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from meltemi.protocols.model import Ref

WRONG = "MEL0102"
UNKNOWN = "MEL0103"
MISSING = "MEL0109"
UNSUPPORTED = "MEL0110"
UNKNOWN_IN_ROUTE = "MEL0316"
UNREADABLE_AUTH = "MEL0409"


class Notes:
    """Problems of the object ``ref``.

    A field of a wrong type or value, or a missing one, rejects the object: its last good state
    stays in force. Everything else concerns a part of it.
    """

    def __init__(self, ref: Ref) -> None:
        self.ref = ref
        self.problems: list[Problem] = []
        self.rejected = False

    def add(
        self, code: str, field: str, cause: str, next_step: str, *, unserved: bool = False
    ) -> None:
        """A problem that leaves the rest of the object in force."""
        self.problems.append(Problem(code, self.ref.at(field), cause, next_step, unserved))

    def flaw(self, where: str) -> str:
        """Why what stands there cannot be served; empty if nothing is wrong with it."""
        inside = (f"{where}.", f"{where}[")
        return next(
            (
                problem.cause
                for problem in self.problems
                if problem.unserved
                and (problem.about.field == where or problem.about.field.startswith(inside))
            ),
            "",
        )

    def wrong(self, field: str, cause: str, next_step: str) -> None:
        """A wrong type or value."""
        self.rejected = True
        self.add(WRONG, field, cause, next_step)

    def missing(self, field: str, next_step: str) -> None:
        """A required field is absent."""
        self.rejected = True
        self.add(MISSING, field, f"{field} is required", next_step)

    def unsupported(self, field: str, cause: str = "", next_step: str = "") -> None:
        """A field that exists, but does nothing here."""
        self.add(
            UNSUPPORTED,
            field,
            cause or f"{field} is not supported yet and has no effect",
            next_step or "remove it, or keep it for other readers of this object",
        )
