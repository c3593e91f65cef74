"""One line of what was found: fine, a warning or an error, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

Name = Literal[
    "api",
    "clock",
    "installation",
    "crds",
    "istio",
    "rbac",
    "webhook",
    "lease",
    "replicas",
    "source",
    "ports",
    "certificates",
    "proxies",
    "server",
]
"""Of a check."""

NAMES: tuple[Name, ...] = get_args(Name)
"""In the order in which they are told, and in which docs/check.md has them."""


class State(Enum):
    """How it is, with the mark of its line."""

    FINE = "√"
    WARNING = "‼"
    ERROR = "×"  # noqa: RUF001  # a cross


class ResultRecord(TypedDict):
    """A result as programs read it. ``state`` is fine, warning or error."""

    check: str
    about: str
    state: str
    text: str
    hint: str
    doc: str


class HealthRecord(TypedDict):
    """What a replica says of itself. ``replica`` is its name among all."""

    version: str
    replica: str
    results: list[ResultRecord]


@dataclass(frozen=True, slots=True)
class Result:
    """``text`` is a sentence. ``hint`` is what to do next, empty where that is nothing. ``about``:
    which one, where a check looks at several things.
    """

    check: Name
    state: State
    text: str
    hint: str = ""
    about: str = ""

    @property
    def doc(self) -> str:
        """Where more is said about it, in the repository."""
        return f"docs/check.md#{self.check}"

    def to_dict(self) -> ResultRecord:
        """As programs read it."""
        return {
            "check": self.check,
            "about": self.about,
            "state": self.state.name.lower(),
            "text": self.text,
            "hint": self.hint,
            "doc": self.doc,
        }


def fine(check: Name, text: str, hint: str = "", about: str = "") -> Result:
    """Nothing needs to be done."""
    return Result(check, State.FINE, text, hint, about)


def warning(check: Name, text: str, hint: str, about: str = "") -> Result:
    """It works, but look."""
    return Result(check, State.WARNING, text, hint, about)


def error(check: Name, text: str, hint: str, about: str = "") -> Result:
    """Something does not work."""
    return Result(check, State.ERROR, text, hint, about)


def listed(names: Iterable[str], most: int = 3) -> str:
    """``a, b, c and 4 more``."""
    found = [*names]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
