"""Objects for tests, written as users write them."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING, TypeVar

from meltemi.controller.decode import Unnamed, decode
from meltemi.controller.sources.documents import Document, read_documents
from meltemi.controller.store.objects import Decoded, Invalid, Upsert

if TYPE_CHECKING:
    from meltemi.controller.decode import Outcome
    from meltemi.protocols.problem import Problem

_Value = TypeVar("_Value")


def outcomes(text: str) -> list[Outcome]:
    """What the documents of the text are read as."""
    entries = read_documents("test.yaml", dedent(text).encode())
    return [decode(entry.value) for entry in entries if isinstance(entry, Document)]


def decoded(text: str) -> Decoded:
    """The one object of the text, which must be valid."""
    (outcome,) = outcomes(text)
    assert isinstance(outcome, Upsert), outcome
    return outcome.decoded


def value(text: str, wanted: type[_Value]) -> _Value:
    """The one value of that type that the object stands for."""
    (found,) = (entry for entry in decoded(text).values if isinstance(entry, wanted))
    return found


def problems(text: str) -> tuple[Problem, ...]:
    """What is wrong with the one object of the text, whether it counts or not."""
    (outcome,) = outcomes(text)
    return outcome.decoded.problems if isinstance(outcome, Upsert) else outcome.problems


def told(text: str) -> list[tuple[str, str]]:
    """Code and field of each problem."""
    return [(problem.code, problem.about.field) for problem in problems(text)]


def rejected(text: str) -> list[tuple[str, str]]:
    """The same, for an object that does not count."""
    (outcome,) = outcomes(text)
    assert isinstance(outcome, Invalid | Unnamed), outcome
    return [(problem.code, problem.about.field) for problem in outcome.problems]
