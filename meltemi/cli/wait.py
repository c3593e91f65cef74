"""``meltemi wait``: until an object is as it should be, on all servers that are asked."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meltemi.cli.output import Exit, OutputOption, fail, print_data, print_table
from meltemi.cli.proxies import DEFAULT, CaOption, ServerOption, TokenFileOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from meltemi.cli.output import Format
    from meltemi.controller.admin.pages import ObjectRecord
    from meltemi.controller.crds.definitions import Definition

PAUSE = 0.2
"""Seconds between two questions."""

DELETED = {"delete", "deleted"}
"""As kubectl says it, and as people do."""

NO_PROXIES = "NoProxies"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

ObjectArgument = Annotated[
    str, typer.Argument(metavar="KIND/NAME", help="Such as metarouter/orders, or mr/orders.")
]
NamespaceOption = Annotated[
    str, typer.Option("--namespace", "-n", metavar="NAME", help="Where the object is.")
]
ForOption = Annotated[
    str,
    typer.Option(
        "--for",
        metavar="WHAT",
        help="condition=TYPE, condition=TYPE=STATUS, or deleted.",
    ),
]
TimeoutOption = Annotated[
    str, typer.Option(metavar="DURATION", help="Such as 500ms, 30s, 2m; 0s looks once.")
]
GenerationOption = Annotated[
    int, typer.Option(metavar="NUMBER", min=0, help="Wait for this generation, or a later one.")
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is waited for: an object of a kind that is gone if ``type`` is empty, else a condition
    of it. ``generation``: the least that counts.
    """

    kind: str
    namespace: str
    name: str
    type: str
    status: str = "True"
    generation: int = 0

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {where}"


@dataclass(frozen=True, slots=True)
class Row:
    """Where the object stands at one server. ``status`` is Unknown of what it does not say."""

    server: str
    object: str
    reached: bool
    generation: int
    type: str
    status: str
    reason: str
    message: str


def wait(
    object: ObjectArgument,
    namespace: NamespaceOption = "default",
    for_: ForOption = "condition=Programmed",
    timeout: TimeoutOption = "30s",
    generation: GenerationOption = 0,
    server: ServerOption = [DEFAULT],  # noqa: B006  # typer's way to say a list
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    output: OutputOption = "table",
) -> None:
    """Wait until an object is live, or has another condition, or is gone.

    Of several servers all must say so. The exit code is 1 if that is not so in time: then this
    says what is, why, and what to do.
    """
    from meltemi.cli.asking import ask_once

    wanted = _wanted(object, namespace, for_, generation)
    deadline = monotonic() + _seconds(timeout)
    query = {"kind": wanted.kind, "name": wanted.name, "namespace": wanted.namespace}
    if not wanted.namespace:
        del query["namespace"]
    while True:
        asked = ask_once(server, "objects", query, token_file, ca)
        rows = [judge(wanted, url, found) for url, found in asked.answers.items()]
        reached = not asked.silent and is_reached(wanted, rows)
        if reached or monotonic() >= deadline:
            break
        sleep(min(PAUSE, max(0.0, deadline - monotonic())))
    asked.note_silences()
    if rows:
        _print(rows, output)
    if not reached:
        raise typer.Exit(Exit.UNREACHABLE if asked.silent else Exit.ERRORS)


def is_reached(wanted: Wanted, rows: Sequence[Row]) -> bool:
    """Whether all say so. Where no proxy is connected nothing is programmed: such a server has no
    say if another one has.
    """
    awaits = (wanted.type, wanted.status) == ("Programmed", "True")
    having = [row for row in rows if not (awaits and row.reason == NO_PROXIES)]
    return bool(having) and all(row.reached for row in having)


def judge(wanted: Wanted, server: str, found: Iterable[ObjectRecord]) -> Row:
    """What a server knows of the object, if anything."""
    record = next(iter(found), None)
    generation = record["generation"] if record else 0

    def row(reached: bool, status: str, reason: str, message: str) -> Row:
        told = (wanted.type or "Deleted", status, reason, message)
        return Row(server, str(wanted), reached, generation, *told)

    if record is None:
        missing = "the server knows no such object"
        return row(not wanted.type, "Unknown" if wanted.type else "True", "NotFound", missing)
    if not wanted.type:
        return row(False, "False", "Present", "the object is there, or still in force")
    status: Any = record["status"]
    observed = status["observedGeneration"]
    if observed != generation or observed < wanted.generation:
        later = max(generation, wanted.generation)
        behind = f"generation {later} is waited for, and what is known is about {observed}"
        return row(False, "Unknown", "NotObserved", behind)
    for condition in _conditions(status, wanted.type):
        reached = condition["status"] == wanted.status
        return row(reached, condition["status"], condition["reason"], condition["message"])
    return row(False, "Unknown", "NotTold", "the server tells no such condition")


def _conditions(status: Any, type: str) -> Iterator[dict[str, str]]:
    return (each for each in status["conditions"] if each["type"] == type)


def _wanted(object: str, namespace: str, what: str, generation: int) -> Wanted:
    kind, _, name = object.partition("/")
    if not name:
        fail(f"{object!r} names no object: write a kind and a name, such as metarouter/orders")
    known = _known(kind)
    type, status = ("", "True") if what in DELETED else _condition(what)
    place = namespace if known.namespaced else ""
    return Wanted(known.kind, place, name, type, status, generation)


def _known(kind: str) -> Definition:
    """By the names that kubectl takes."""
    from meltemi.controller.crds.definitions import DEFINITIONS

    kinds = [each for each in DEFINITIONS if each.decoded is not None]
    names = {name: each for each in kinds for name in _names(each)}
    if kind.lower() not in names:
        known = ", ".join(each.kind.lower() for each in kinds)
        fail(f"objects of the kind {kind!r} have no status: write one of {known}")
    return names[kind.lower()]


def _names(kind: Definition) -> tuple[str, ...]:
    one = kind.kind.lower()
    return one, kind.plural, kind.name, f"{one}.{kind.group}", *kind.short


def _condition(what: str) -> tuple[str, str]:
    """The type and the status that are waited for."""
    from meltemi.controller.statuses.conditions import Type

    word, _, rest = what.partition("=")
    written, _, status = rest.partition("=")
    types = {each.value.lower(): each.value for each in Type}
    statuses = {each.lower(): each for each in ("True", "False", "Unknown")}
    type, status = types.get(written.lower(), ""), status or "True"
    if word != "condition" or not type or status.lower() not in statuses:
        fail(
            f"--for {what!r}: write deleted, condition=TYPE or condition=TYPE=STATUS; TYPE is "
            f"one of {', '.join(types.values())} and STATUS of {', '.join(statuses.values())}"
        )
    return type, statuses[status.lower()]


def _seconds(duration: str) -> float:
    found = _DURATION.fullmatch(duration)
    if found is None:
        fail(f"--timeout {duration!r}: write a number with ms, s, m or h, such as 30s")
    return float(found[1]) * _UNITS[found[2]]


def _print(rows: Sequence[Row], output: Format) -> None:
    if output != "table":
        print_data([asdict(row) for row in rows], output)
        return
    several = len(rows) > 1
    columns = ("object", "condition", "status", "reason", "message")
    print_table(
        (*(("server",) if several else ()), *columns), (_cells(row, several) for row in rows)
    )


def _cells(row: Row, several: bool) -> tuple[str, ...]:
    where = (row.server,) if several else ()
    return (*where, row.object, row.type, row.status, row.reason, row.message)
