"""Problems with the place where a user finds them, for commands, webhooks and the console."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from meltemi.protocols.problem import CODES, Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from meltemi.controller.sources import Place

_WORST_FIRST = (Severity.ERROR, Severity.WARNING, Severity.INFO)


class FindingRecord(TypedDict):
    """A finding as programs read it. ``line`` 0 and empty texts mean that there is none."""

    code: str
    severity: str
    kind: str
    namespace: str
    name: str
    field: str
    file: str
    line: int
    title: str
    cause: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem and where it is. ``line`` counts from 1."""

    problem: Problem
    file: str = ""
    line: int = 0

    @property
    def severity(self) -> Severity:
        """From the catalogue."""
        return self.problem.severity

    @property
    def title(self) -> str:
        """From the catalogue."""
        return CODES[self.problem.code].title

    def to_dict(self) -> FindingRecord:
        """As programs read it."""
        about = self.problem.about
        return {
            "code": self.problem.code,
            "severity": self.severity.value,
            "kind": about.kind,
            "namespace": about.namespace,
            "name": about.name,
            "field": about.field,
            "file": self.file,
            "line": self.line,
            "title": self.title,
            "cause": self.problem.cause,
            "next_step": self.problem.next_step,
        }


def findings(
    problems: Iterable[Problem], place: Callable[[Problem], Place | None] | None = None
) -> tuple[Finding, ...]:
    """Each problem once, in the order in which a user reads the files."""
    found: dict[Problem, Finding] = {}
    for problem in problems:
        where = None if place is None else place(problem)
        found[problem] = (
            Finding(problem) if where is None else Finding(problem, where.file, where.line)
        )
    return tuple(sorted(found.values(), key=_order))


def count(findings: Iterable[Finding]) -> Mapping[Severity, int]:
    """How many of each severity, the worst first."""
    counts = Counter(finding.severity for finding in findings)
    return {severity: counts[severity] for severity in _WORST_FIRST}


def fails(findings: Iterable[Finding], fail_on: Severity = Severity.ERROR) -> bool:
    """Whether one of them is at least as bad as ``fail_on``."""
    bad = _WORST_FIRST[: _WORST_FIRST.index(fail_on) + 1]
    return any(finding.severity in bad for finding in findings)


def _order(finding: Finding) -> tuple[object, ...]:
    problem = finding.problem
    rank = _WORST_FIRST.index(finding.severity)
    return (finding.file, finding.line, rank, problem.code, problem.about, problem.cause)
