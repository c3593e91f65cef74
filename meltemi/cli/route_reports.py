"""What ``meltemi test`` found, for people and as data; CI systems have ``ci_formats``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import typer

from meltemi.cli.output import print_table
from meltemi.cli.validate import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meltemi.controller.offline.route_cases import Mistake
    from meltemi.controller.offline.route_tests import Coverage, Difference, RouteId, Verdict
    from meltemi.controller.sources import Place
    from meltemi.protocols.model import Ref


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found. ``minimum`` is the coverage asked for, in percent."""

    verdicts: tuple[Verdict, ...]
    mistakes: tuple[Mistake, ...]
    coverage: Coverage
    minimum: float | None
    where: Callable[[Ref], Place | None]

    @property
    def failed(self) -> tuple[Verdict, ...]:
        """The cases that did not go as expected."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed)

    @property
    def falls_short(self) -> bool:
        """Whether fewer routes were reached than asked for."""
        return self.minimum is not None and self.coverage.percent < self.minimum


def print_report(report: Report) -> None:
    """Every case in a line, what is wrong below it, then routes that no case reaches."""
    for verdict in report.verdicts:
        typer.echo(f"{'ok    ' if verdict.passed else 'FAILED'}  {verdict.case.name}")
        if not verdict.passed:
            _print_failure(verdict)
    for mistake in report.mistakes:
        typer.echo(f"ERROR   {_at(mistake.place)}: {sentence(mistake)}")
    if report.coverage.unreached:
        places = ((str(route), _at(report.where(route.ref))) for route in report.coverage.unreached)
        print_table(("no case reaches", "where"), places)
    typer.echo(summary(report))


def _print_failure(verdict: Verdict) -> None:
    typer.echo(f"        {_at(verdict.case.place)}")
    for line in complaints(verdict):
        typer.echo(f"        {line}")
    if verdict.answer is not None and verdict.answer.considered:
        print_table(
            ("route", "matched", "because"),
            ((s.rule, "yes" if s.matched else "no", s.reason) for s in verdict.answer.considered),
        )


def summary(report: Report) -> str:
    """``3 passed, 1 failed; 2 of 2 routes reached (100 %)``."""
    failed, covered = len(report.failed), report.coverage
    counts = [f"{len(report.verdicts) - failed} passed"]
    counts += [f"{failed} failed"] if failed else []
    counts += [plural(len(report.mistakes), "mistake")] if report.mistakes else []
    reached = (
        f"{len(covered.reached)} of {plural(covered.total, 'route')} reached "
        f"({_rounded(covered.percent):g} %)"
    )
    short = f", less than {report.minimum:g} %" if report.falls_short else ""
    return f"{', '.join(counts)}; {reached}{short}"


def data(report: Report) -> dict[str, object]:
    """As programs read it."""
    return {
        "passed": len(report.verdicts) - len(report.failed),
        "failed": len(report.failed),
        "cases": [_case_data(verdict) for verdict in report.verdicts],
        "mistakes": [
            {
                **asdict(mistake.place),
                "field": mistake.field,
                "cause": mistake.cause,
                "next_step": mistake.next_step,
            }
            for mistake in report.mistakes
        ],
        "coverage": {
            "routes": report.coverage.total,
            "reached": len(report.coverage.reached),
            "percent": _rounded(report.coverage.percent),
            "minimum": report.minimum,
            "unreached": [_route_data(route, report) for route in report.coverage.unreached],
        },
    }


def _case_data(verdict: Verdict) -> dict[str, object]:
    case, answer = verdict.case, verdict.answer
    return {
        "name": case.name,
        **asdict(case.place),
        "host": case.host,
        "port": case.port,
        "namespace": case.namespace,
        "attributes": dict(case.attributes),
        "passed": verdict.passed,
        "error": verdict.error,
        "differences": [asdict(difference) for difference in verdict.differences],
        "considered": [] if answer is None else [asdict(step) for step in answer.considered],
    }


def _route_data(route: RouteId, report: Report) -> dict[str, object]:
    ref, place = route.ref, report.where(route.ref)
    return {
        "kind": ref.kind,
        "namespace": ref.namespace,
        "name": ref.name,
        "route": route.name or ref.field,
        "field": ref.field,
        "file": place.file if place else "",
        "line": place.line if place else 0,
    }


def _at(place: Place | None) -> str:
    if place is None:
        return ""
    return f"{place.file}:{place.line}" if place.line else place.file


def _rounded(percent: float) -> float:
    """Downwards: 100 % means all of them."""
    return math.floor(percent * 100) / 100


def sentence(mistake: Mistake) -> str:
    """What is wrong, and what to do."""
    return f"{mistake.cause}; {mistake.next_step}"


def complaints(verdict: Verdict) -> Iterator[str]:
    """What is not as expected, a line each."""
    if verdict.error:
        yield verdict.error
    yield from map(_complaint, verdict.differences)


def _complaint(difference: Difference) -> str:
    text = f"{difference.field}: expected {difference.expected}, got {difference.actual}"
    return f"{text}; {difference.hint}" if difference.hint else text
