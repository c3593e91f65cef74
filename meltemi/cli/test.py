"""``meltemi test``: whether rules do what the cases beside them expect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, assert_never

import typer

from meltemi.cli.explain import point_to_errors
from meltemi.cli.inputs import NodeOption, PresetOption, group_key, read
from meltemi.cli.output import Exit, fail, print_data

if TYPE_CHECKING:
    from meltemi.cli.route_reports import Report
    from meltemi.controller.offline.offline import Offline
    from meltemi.controller.offline.route_cases import Reading
    from meltemi.protocols.group import Group, GroupKey

Format = Literal["table", "json", "yaml", "junit", "github"]


def check_cases(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A folder of rules, or one *.routes.yaml of it.")
    ],
    namespace: Annotated[
        str | None, typer.Option(help="Where clients are if their case does not say it.")
    ] = None,
    node: NodeOption = None,
    preset: PresetOption = None,
    min_coverage: Annotated[
        float | None,
        typer.Option(min=0, max=100, metavar="N", help="Percent of routes that cases must reach."),
    ] = None,
    output: Annotated[
        Format, typer.Option("--output", "-o", help="For people, programs, or a CI system.")
    ] = "table",
) -> None:
    """Check what rules do with requests.

    The cases are in files named *.routes.yaml, the rules in the other YAML files of the folder.
    Exit code 1: a case failed, or too few routes were reached; 2: a case cannot be read.
    """
    target = Path(path)
    reading = _cases(target)
    folder = str(target if target.is_dir() else target.parent)
    offline = read(folder)
    key = group_key(offline, node, preset)
    key = key if namespace is None else replace(key, namespace=namespace)
    report = _run(reading, offline, key, min_coverage)
    _print(report, output)
    point_to_errors(offline, folder)
    raise typer.Exit(_exit_code(report))


def _cases(target: Path) -> Reading:
    from meltemi.controller.offline.route_cases import Reading, read_cases
    from meltemi.controller.sources.files import case_files, is_cases

    if not target.exists():
        fail(f"{target}: there is no such file or folder")
    if not target.is_dir() and not is_cases(target.name):
        fail(f"{target}: give the folder of the rules, or a file named *.routes.yaml")
    readings = [read_cases(file, content) for file, content in case_files(target).items()]
    if not readings:
        fail(f"{target}: there is no file named *.routes.yaml")
    return Reading(
        tuple(case for reading in readings for case in reading.cases),
        tuple(mistake for reading in readings for mistake in reading.mistakes),
    )


def _run(reading: Reading, offline: Offline, key: GroupKey, minimum: float | None) -> Report:
    from meltemi.cli.route_reports import Report
    from meltemi.controller.offline.route_tests import Examiner, coverage

    def group(namespace: str | None) -> Group:
        return offline.group(key if namespace is None else replace(key, namespace=namespace))

    examiner = Examiner(offline.mesh, offline.registry, group)
    verdicts = tuple(map(examiner.verdict, reading.cases))
    covered = coverage(offline.mesh, verdicts)
    return Report(verdicts, reading.mistakes, covered, minimum, offline.where)


def _print(report: Report, output: Format) -> None:
    from meltemi.cli import ci_formats, route_reports

    match output:
        case "table":
            route_reports.print_report(report)
        case "json" | "yaml":
            print_data(route_reports.data(report), output)
        case "junit":
            typer.echo(ci_formats.junit(report))
        case "github":
            for line in ci_formats.github(report):
                typer.echo(line)
        case _:
            assert_never(output)


def _exit_code(report: Report) -> Exit:
    if report.mistakes:
        return Exit.USAGE
    return Exit.ERRORS if report.failed or report.falls_short else Exit.FINE
