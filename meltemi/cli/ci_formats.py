"""What ``meltemi test`` found, as CI systems read it: JUnit's XML and GitHub's annotations."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

from meltemi.cli.route_reports import complaints, sentence, summary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.cli.route_reports import Report
    from meltemi.controller.offline.route_cases import Mistake
    from meltemi.controller.offline.route_tests import Verdict

# What XML 1.0 cannot hold, even escaped.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT = "\ufffd"


def junit(report: Report) -> str:
    """A suite for each file of cases, and one for the coverage if some was asked for."""
    suites = Xml.Element("testsuites", name="meltemi test")
    files = {v.case.place.file for v in report.verdicts} | {m.place.file for m in report.mistakes}
    for file in sorted(files):
        suite = Xml.SubElement(suites, "testsuite", name=_xml(file))
        for verdict in report.verdicts:
            if verdict.case.place.file == file:
                _add_case(suite, verdict)
        for mistake in report.mistakes:
            if mistake.place.file == file:
                _add_mistake(suite, mistake)
    if report.minimum is not None:
        _add_coverage(Xml.SubElement(suites, "testsuite", name="rule coverage"), report)
    for element in (*suites, suites):
        _count(element)
    Xml.indent(suites)
    return Xml.tostring(suites, encoding="unicode", xml_declaration=False)


def _add_case(suite: Xml.Element, verdict: Verdict) -> None:
    place = verdict.case.place
    case = _case(suite, verdict.case.name, place.file, place.line)
    if not verdict.passed:
        lines = list(complaints(verdict))
        considered = verdict.answer.considered if verdict.answer else ()
        steps = (
            f"{step.rule}: {'matched' if step.matched else 'not matched'}, {step.reason}"
            for step in considered
        )
        _add_text(case, "failure", lines[0], "\n".join((*lines, *steps)))


def _add_mistake(suite: Xml.Element, mistake: Mistake) -> None:
    place = mistake.place
    case = _case(suite, f"line {place.line}: {mistake.field}", place.file, place.line)
    _add_text(case, "error", mistake.cause, sentence(mistake))


def _add_coverage(suite: Xml.Element, report: Report) -> None:
    name = f"cases reach at least {report.minimum:g} % of the routes"
    case = Xml.SubElement(suite, "testcase", name=name, classname="rule coverage")
    if report.falls_short:
        unreached = "\n".join(f"no case reaches {route}" for route in report.coverage.unreached)
        _add_text(case, "failure", summary(report), unreached)


def _case(suite: Xml.Element, name: str, file: str, line: int) -> Xml.Element:
    attributes = {"name": name, "classname": file, "file": file, "line": str(line)}
    return Xml.SubElement(suite, "testcase", {key: _xml(v) for key, v in attributes.items()})


def _add_text(case: Xml.Element, kind: str, message: str, text: str) -> None:
    Xml.SubElement(case, kind, message=_xml(message)).text = _xml(text)


def _count(element: Xml.Element) -> None:
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        element.set(attribute, str(len(list(element.iter(tag)))))


def _xml(text: str) -> str:
    return _NO_XML.sub(_REPLACEMENT, text)


def github(report: Report) -> Iterator[str]:
    """A workflow command for everything that is wrong, and a line that sums up.

    A route that no case reaches is an error only when more coverage was asked for.
    """
    for verdict in report.failed:
        place = verdict.case.place
        text = "\n".join(complaints(verdict))
        yield _command("error", place.file, place.line, verdict.case.name, text)
    for mistake in report.mistakes:
        place = mistake.place
        yield _command("error", place.file, place.line, "mistake in a case", sentence(mistake))
    level = "error" if report.falls_short else "notice"
    for route in report.coverage.unreached:
        file, line = ("", 0) if (at := report.where(route.ref)) is None else (at.file, at.line)
        yield _command(level, file, line, "rule coverage", f"no case reaches {route}")
    yield summary(report)


def _command(level: str, file: str, line: int, title: str, text: str) -> str:
    """https://docs.github.com/actions/reference/workflow-commands-for-github-actions"""
    place = os.path.normpath(file) if file else ""
    written = {"file": place, "line": str(line) if line else "", "title": title}
    properties = ",".join(
        f"{key}={_escape(value, also=':,')}" for key, value in written.items() if value
    )
    return f"::{level} {properties}::{_escape(text)}"


def _escape(text: str, also: str = "") -> str:
    for sign in f"%\r\n{also}":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text
