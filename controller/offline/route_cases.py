"""Cases of a ``*.routes.yaml``: requests, and what their author expects to become of them.

A document is a list of cases, or ``{host, port, namespace, cases}``, whose first three hold for
every case that does not say otherwise. Nothing is forgiven here: a case that is misread would pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias, get_args

import msgspec

from meltemi.controller.decode.notes import Notes
from meltemi.controller.decode.schema import Spec, as_list, as_mapping, convert
from meltemi.controller.decode.values import PercentValue, PortNumber, seconds
from meltemi.controller.offline.explanation import Outcome
from meltemi.controller.sources import Place
from meltemi.controller.sources.documents import Broken, Document, read_documents
from meltemi.controller.store.hosts import flaw
from meltemi.controller.store.objects import FILE
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meltemi.controller.sources.folder import Content

OUTCOMES: tuple[str, ...] = get_args(Outcome)
NO_TIMEOUT = "none"
"""How a case says that there is no timeout; a file has no other word for it."""

_Weight: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=100)]


class WrittenDestination(Spec, frozen=True):
    """The long form of a destination."""

    host: str | None = None
    port: PortNumber | None = None
    subset: str | None = None
    weight: _Weight | None = None


class WrittenMirror(Spec, frozen=True):
    """The long form of a mirror."""

    host: str | None = None
    port: PortNumber | None = None
    subset: str | None = None
    percentage: PercentValue | None = None


class WrittenRule(Spec, frozen=True):
    """The long form of the route that decides."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    route: str | None = None


class WrittenExpectation(Spec, frozen=True):
    """What must be so; a field that is not written is not compared."""

    rule: str | WrittenRule | None = None
    to: str | dict[str, _Weight] | None = None
    destinations: tuple[str | WrittenDestination, ...] | None = None
    mirrors: tuple[str | WrittenMirror, ...] | None = None
    timeout: float | str | None = None
    outcome: str | None = None


class WrittenCase(Spec, frozen=True):
    """A case, as it stands in the file."""

    name: str
    expect: str | WrittenExpectation
    host: str | None = None
    port: PortNumber | None = None
    namespace: str | None = None
    attributes: dict[str, str] = msgspec.field(default_factory=dict[str, str])


class WrittenFile(Spec, frozen=True):
    """A document that says once what is the same in its cases."""

    cases: tuple[object, ...]
    host: str | None = None
    port: PortNumber | None = None
    namespace: str | None = None


class WantedRule(NamedTuple):
    """The object and route that decide. None is not compared."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    route: str | None = None


class Target(NamedTuple):
    """A destination or mirror. In a case, hosts are as written and None is not compared.

    ``share`` is a destination's weight or a mirror's percentage.
    """

    host: str | None = None
    port: int | None = None
    subset: str | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must be so. None is not compared; ``timeout`` is in seconds or ``NO_TIMEOUT``."""

    rule: WantedRule | None = None
    destinations: tuple[Target, ...] | None = None
    mirrors: tuple[Target, ...] | None = None
    timeout: float | str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A request and what is expected of it. Without a namespace the proxy says where it is."""

    name: str
    host: str
    port: int
    expect: Expectation
    place: Place
    namespace: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Mistake:
    """Why something in a file of cases is none. ``field`` may be empty."""

    place: Place
    field: str
    cause: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds: cases in its order, and what is wrong with the rest of it."""

    cases: tuple[Case, ...]
    mistakes: tuple[Mistake, ...]


def read_cases(path: str, content: Content) -> Reading:
    """The cases of a file. Never raises."""
    if content is None:
        content = b""  # it went while the folder was read
    if isinstance(content, Problem):
        return Reading((), (_unread(Place(path), content),))
    reader = _Reader(path)
    for entry in read_documents(path, content):
        if isinstance(entry, Broken):
            reader.mistakes.append(_unread(Place(path, entry.line), entry.problem))
        else:
            reader.document(entry)
    if not (reader.cases or reader.mistakes):
        reader.mistakes.append(
            Mistake(Place(path), "", "it holds no case", "add one, or delete it")
        )
    mistakes = sorted(reader.mistakes, key=lambda mistake: mistake.place.line)
    return Reading(tuple(reader.cases.values()), tuple(mistakes))


def _unread(place: Place, problem: Problem) -> Mistake:
    return Mistake(place, "", problem.cause.removeprefix(f"line {place.line}: "), problem.next_step)


class _Reader:
    """Collects a file's cases by name, and its mistakes."""

    def __init__(self, path: str) -> None:
        self.cases: dict[str, Case] = {}
        self.mistakes: list[Mistake] = []
        self._path = path

    def document(self, document: Document) -> None:
        """Each document of the file on its own."""
        notes = Notes(Ref(FILE, "", self._path))
        if (common := _common(document.value, notes)) is not None:
            prefix = "" if as_list(document.value) is not None else "cases"
            for index, item in enumerate(common.cases):
                at = f"{prefix}[{index}]"
                if (case := _case(item, at, common, document, notes)) is not None:
                    self._add(case, at, notes)
        self.mistakes += (_mistake(problem, document) for problem in notes.problems)

    def _add(self, case: Case, at: str, notes: Notes) -> None:
        if (first := self.cases.setdefault(case.name, case)) is not case:
            cause = f"line {first.place.line} has a case {case.name!r}, too"
            notes.wrong(f"{at}.name", cause, "give each case of a file its own name")


def _mistake(problem: Problem, document: Document) -> Mistake:
    where = problem.about.field
    place = Place(problem.about.name, document.line(where))
    return Mistake(place, where, problem.cause, _next_step(problem))


def _next_step(problem: Problem) -> str:
    """YAML takes 1.0 and true for something else than text."""
    taken = ("got an integer", "got a number", "got true or false")
    if "expected a string" in problem.cause and problem.cause.endswith(taken):
        return "put it in quotes"
    return problem.next_step


def _common(value: object, notes: Notes) -> WrittenFile | None:
    if (items := as_list(value)) is not None:
        return WrittenFile(cases=tuple(items))
    if (body := as_mapping(value)) is not None and {"apiVersion", "kind"} & body.keys():
        notes.wrong(
            "",
            "it is an object of a cluster, and files of this name are not read as rules",
            "move it to a file whose name does not end in .routes.yaml",
        )
        return None
    if body is None:
        notes.wrong("", "it is no list of cases", "write `- name: ...` for each case")
        return None
    empty = [name for name, entry in body.items() if entry is None]
    for name in empty:
        _refuse_nothing(name, notes)
    return None if empty else convert(body, WrittenFile, notes)


def _case(
    item: object, at: str, common: WrittenFile, document: Document, notes: Notes
) -> Case | None:
    """None when the notes say what is wrong with it."""
    before = len(notes.problems)
    for where in _without_value(item, at):
        _refuse_nothing(where, notes)
    if len(notes.problems) > before:
        return None
    if (written := convert(item, WrittenCase, notes, at)) is None:
        return None
    host, port = written.host or common.host or "", written.port or common.port or 0
    for name, value in (("name", written.name), ("host", host), ("port", port)):
        if not value:
            notes.missing(f"{at}.{name}", f"add {name}")
    case = Case(
        name=written.name,
        host=host,
        port=port,
        expect=_expectation(written.expect, host, f"{at}.expect", notes),
        place=Place(notes.ref.name, document.line(at)),
        namespace=written.namespace or common.namespace,
        attributes=written.attributes,
    )
    return case if len(notes.problems) == before else None


def _without_value(value: object, at: str) -> Iterator[str]:
    waiting = [(at, value)]
    while waiting:
        where, value = waiting.pop()
        if value is None:
            yield where
        waiting += ((f"{where}.{key}", entry) for key, entry in (as_mapping(value) or {}).items())
        waiting += ((f"{where}[{i}]", entry) for i, entry in enumerate(as_list(value) or ()))


def _refuse_nothing(at: str, notes: Notes) -> None:
    """A field without a value would not be compared, which nobody would see."""
    notes.wrong(at, f"{at} has no value", "give it one, or remove it")


def _expectation(
    written: str | WrittenExpectation, host: str, at: str, notes: Notes
) -> Expectation:
    if isinstance(written, str):
        return Expectation(rule=_rule(written, at, notes))
    if written == WrittenExpectation():
        notes.wrong(at, f"{at} says nothing", "name a route, such as `expect: canary`")
    if written.to is not None and written.destinations is not None:
        cause = "to is short for destinations"
        notes.wrong(f"{at}.to", cause, "write only one of both")
    return Expectation(
        rule=None if written.rule is None else _rule(written.rule, f"{at}.rule", notes),
        destinations=_destinations(written, host, at, notes),
        mirrors=_mirrors(written.mirrors, host, f"{at}.mirrors", notes),
        timeout=_timeout(written.timeout, f"{at}.timeout", notes),
        outcome=_outcome(written.outcome, f"{at}.outcome", notes),
    )


def _rule(written: str | WrittenRule, at: str, notes: Notes) -> WantedRule:
    """``route``, ``name/route`` or ``namespace/name/route``."""
    if isinstance(written, WrittenRule):
        if written == WrittenRule():
            notes.wrong(at, f"{at} says nothing", "name a route")
        return WantedRule(written.kind, written.namespace, written.name, written.route)
    namespace, name, route = [None, None, *written.split("/", 2)][-3:]
    if not route or "" in (namespace, name):
        notes.wrong(at, f"{written!r} names no route", "write route or namespace/name/route")
    return WantedRule(None, namespace, name, route)


def _destinations(
    written: WrittenExpectation, host: str, at: str, notes: Notes
) -> tuple[Target, ...] | None:
    if isinstance(written.to, str):
        return (_target(written.to, host, f"{at}.to", notes),)
    if written.to is not None:
        wanted = (
            _target(text, host, f"{at}.to", notes)._replace(share=weight)
            for text, weight in written.to.items()
        )
        return tuple(wanted)
    if written.destinations is None:
        return None
    return tuple(
        _target(each, host, f"{at}.destinations[{index}]", notes)
        if isinstance(each, str)
        else Target(each.host, each.port, each.subset, each.weight)
        for index, each in enumerate(written.destinations)
    )


def _mirrors(
    written: Iterable[str | WrittenMirror] | None, host: str, at: str, notes: Notes
) -> tuple[Target, ...] | None:
    if written is None:
        return None
    return tuple(
        _target(each, host, f"{at}[{index}]", notes)
        if isinstance(each, str)
        else Target(each.host, each.port, each.subset, each.percentage)
        for index, each in enumerate(written)
    )


def _target(text: str, host: str, at: str, notes: Notes) -> Target:
    """``subset`` of the case's host, or ``host``, ``host:port``, ``host:port/subset``."""
    address, slash, subset = text.partition("/")
    if not slash and address and not {".", ":"} & set(address):
        return Target(host, None, address)
    name, colon, port = address.partition(":")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else 0
    if flaw(name) is not None or (colon and not 1 <= number <= 65535):
        notes.wrong(at, f"{text!r} is no destination", "write subset, host or host:port/subset")
    return Target(name, number or None, subset if slash else None)


def _timeout(written: float | str | None, at: str, notes: Notes) -> float | str | None:
    if isinstance(written, str) and written != NO_TIMEOUT:
        return seconds(written, at, notes)
    return written


def _outcome(written: str | None, at: str, notes: Notes) -> str | None:
    if written is not None and written not in OUTCOMES:
        close = get_close_matches(written, OUTCOMES, 1)
        step = f"did you mean {close[0]}?" if close else f"write one of: {', '.join(OUTCOMES)}"
        notes.wrong(at, f"{written!r} is no outcome", step)
    return written
