"""``meltemi validate``: what is wrong with users' objects, each with file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meltemi.cli.inputs import PathArgument, read
from meltemi.cli.output import Exit, OutputOption, note, print_data, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meltemi.controller.findings import Finding

Threshold = Literal["error", "warning", "info", "never"]
FailOnOption = Annotated[
    Threshold, typer.Option("--fail-on", help="Findings from which on the exit code is 1.")
]


def validate(
    path: PathArgument, fail_on: FailOnOption = "error", output: OutputOption = "table"
) -> None:
    """Say what is wrong with the objects in PATH.

    Each finding has a code, file, line, object, field, cause and next step.
    """
    offline = read(path)
    from meltemi.controller.offline.offline import compile_everything

    compile_everything(offline)
    found = offline.findings()
    if output == "table":
        if found:
            print_findings(found)
        typer.echo(summary(found, offline.store.count))
    else:
        print_data([finding.to_dict() for finding in found], output)
    leave(found, fail_on)


def leave(found: Sequence[Finding], fail_on: Threshold) -> None:
    """End the command with the exit code that the findings give."""
    from meltemi.controller.findings import fails
    from meltemi.protocols.problem import Severity

    if fail_on != "never" and fails(found, Severity(fail_on)):
        raise typer.Exit(Exit.ERRORS)


def summary(found: Sequence[Finding], objects: int) -> str:
    """``OK, 0 findings in 14 objects``, or how many findings of each severity there are."""
    from meltemi.controller.findings import count

    within = f"in {plural(objects, 'object')}"
    if not found:
        return f"OK, 0 findings {within}"
    counts = ((severity.value, number) for severity, number in count(found).items() if number)
    parts = (f"{n} info" if name == "info" else plural(n, name) for name, n in counts)
    return f"{plural(len(found), 'finding')} {within}: {', '.join(parts)}"


def plural(number: int, noun: str) -> str:
    """``1 object``, ``2 objects``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_findings(found: Sequence[Finding], *, err: bool = False) -> None:
    """A table: where, what, why, and what to do."""
    print_table(("severity", "code", "where", "what and why"), map(_row, found), err=err)


def report(found: Sequence[Finding]) -> None:
    """On standard error, one line each: for commands whose standard output is something else."""
    for finding in found:
        problem = finding.problem
        note(
            f"{_place(finding)}{finding.severity.value} {problem.code} {problem.about}: "
            f"{problem.cause}; {problem.next_step}"
        )


def _row(finding: Finding) -> tuple[str, str, str, str]:
    problem = finding.problem
    place = _place(finding).removesuffix(": ")
    where = f"{place}\n{problem.about}" if place else str(problem.about)
    return finding.severity.value, problem.code, where, f"{problem.cause}\n→ {problem.next_step}"


def _place(finding: Finding) -> str:
    """``file:line: `` or nothing."""
    if not finding.file:
        return ""
    return f"{finding.file}:{finding.line}: " if finding.line else f"{finding.file}: "
