"""What the log hears of findings."""

from __future__ import annotations

from structlog.testing import capture_logs

from meltemi.controller.findings_board import MOST, FindingsBoard
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import CODES, Problem, Severity

BY_SEVERITY = {
    severity: next(code for code, spec in CODES.items() if spec.severity is severity)
    for severity in Severity
}


def problems(severity: Severity, number: int) -> list[Problem]:
    return [
        Problem(BY_SEVERITY[severity], Ref("Service", "shop", f"s{index}", 1), "cause", "next step")
        for index in range(number)
    ]


def logged(found: list[Problem], looks: int = 1) -> list[tuple[str, str]]:
    """Level and name of each entry."""
    board = FindingsBoard(lambda: found, lambda _: None)
    with capture_logs() as entries:
        for _ in range(looks):
            board.look()
    return [(entry["log_level"], entry["event"]) for entry in entries]


def test_errors_and_warnings_are_told_as_warnings_and_information_as_that() -> None:
    told = {severity: logged(problems(severity, 1)) for severity in Severity}
    assert told == {
        Severity.ERROR: [("warning", "finding.appeared")],
        Severity.WARNING: [("warning", "finding.appeared")],
        Severity.INFO: [("info", "finding.appeared")],
    }


def test_much_information_of_a_code_is_one_entry_with_a_count() -> None:
    assert logged(problems(Severity.INFO, MOST)) == [("info", "finding.appeared")] * MOST
    with capture_logs() as entries:
        FindingsBoard(lambda: problems(Severity.INFO, MOST + 1), lambda _: None).look()
    code = BY_SEVERITY[Severity.INFO]
    (entry,) = entries
    assert (entry["event"], entry["code"], entry["count"]) == ("findings.appeared", code, MOST + 1)
    assert entry["title"] == CODES[code].title


def test_errors_are_told_one_by_one_however_many_there_are() -> None:
    mixed = problems(Severity.ERROR, MOST + 1) + problems(Severity.INFO, MOST + 1)
    warned = [name for level, name in logged(mixed) if level == "warning"]
    assert warned == ["finding.appeared"] * (MOST + 1)


def test_what_was_told_is_not_told_again() -> None:
    assert logged(problems(Severity.INFO, MOST + 1), looks=2) == [("info", "findings.appeared")]
