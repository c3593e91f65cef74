"""``meltemi proxies``: what the connected proxies were sent, and what they said to it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meltemi.cli.output import Exit, OutputOption, note, print_data, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from meltemi.controller.proxies import StreamRecord, TypeRecord

DEFAULT = "http://127.0.0.1:18080"

ServerOption = Annotated[
    list[str],
    typer.Option(
        metavar="URL",
        envvar="MELTEMI_SERVER",
        help="The admin port of a server; several for several replicas.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="MELTEMI_TOKEN_FILE", help="Holds the token to present to it."
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="PEM authorities that sign for it, instead of the system's."),
]
IdArgument = Annotated[str | None, typer.Argument(metavar="ID", help="One proxy's node.id.")]

NACKED = "NACKED"


@dataclass(frozen=True, slots=True)
class Row:
    """One type on one stream; ``age`` in seconds. A protocol that a proxy has no engine for is a
    row as well.
    """

    server: str
    proxy: str
    stream: int
    namespace: str
    type: str
    state: str
    age: float
    version: str
    reason: str
    origins: tuple[str, ...]


def proxies(
    id: IdArgument = None,
    server: ServerOption = [DEFAULT],  # noqa: B006  # typer's way to say a list
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    output: OutputOption = "table",
) -> None:
    """Say where each proxy stands.

    Per stream and type: ACKED, PENDING, NACKED, NOT SENT, NOT SUBSCRIBED or UNSUPPORTED, since
    when, why, and the objects behind it. The exit code is 1 if something is NACKED.
    """
    from meltemi.cli.asking import ask

    asked = ask(server, "proxies", {"id": id} if id is not None else {}, token_file, ca)
    found = [row for url, streams in asked.answers.items() for row in rows(url, streams)]
    if output == "table":
        _print(found, several=len(server) > 1)
    else:
        print_data([asdict(row) for row in found], output)
    if id is not None and not found:
        note(f"meltemi: no proxy {id!r} is connected")
    raise typer.Exit(_code(found, unknown=id is not None and not found, silent=asked.silent))


def _code(found: Sequence[Row], *, unknown: bool, silent: bool) -> Exit:
    if unknown or any(row.state == NACKED for row in found):
        return Exit.ERRORS
    return Exit.UNREACHABLE if silent else Exit.FINE


def rows(server: str, streams: Iterable[StreamRecord]) -> Iterator[Row]:
    """Never merged: a proxy with two streams has the rows of both."""
    for stream in streams:
        for type_url, found in stream["types"].items():
            yield _row(server, stream, short(type_url), found)
        for lacking in stream["unsupported"]:
            yield Row(
                server,
                stream["id"],
                stream["stream"],
                stream["namespace"],
                lacking["protocol"],
                "UNSUPPORTED",
                stream["connected"],
                "",
                lacking["reason"],
                tuple(lacking["origins"]),
            )


def _row(server: str, stream: StreamRecord, name: str, found: TypeRecord) -> Row:
    return Row(
        server,
        stream["id"],
        stream["stream"],
        stream["namespace"],
        name,
        found["state"],
        found["since"],
        found["version"],
        _reason(found),
        tuple(dict.fromkeys(each for r in found["refusals"] for each in r["origins"])),
    )


def _reason(found: TypeRecord) -> str:
    match found["state"]:
        case "NACKED":
            return "\n".join(refusal["message"] for refusal in found["refusals"])
        case "PENDING":
            sent = found["unanswered"]
            return f"{sent} responses without an answer" if sent > 1 else "sent, without an answer"
        case "NOT SENT":
            return "there is nothing of what it asks for, or it waits for its clusters"
        case "NOT SUBSCRIBED":
            return "the proxy does not ask for it"
        case _:
            return ""


def short(type_url: str) -> str:
    """``Cluster``; ``thrift_proxy RouteConfiguration`` where several types are called so."""
    parts = type_url.rpartition("/")[2].split(".")
    last = parts[-1]
    return f"{parts[-3]} {last}" if last.endswith("RouteConfiguration") else last


def age(seconds: float) -> str:
    """``850ms``, ``12s``, ``5m``, ``3h``, ``2d``: one unit is enough to see which it is."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _print(found: Sequence[Row], *, several: bool) -> None:
    if not found:
        typer.echo("no proxy is connected")
        return
    columns = ("proxy", "stream", "type", "state", "age", "why", "objects")
    where = ("server",) if several else ()
    print_table((*where, *columns), (_cells(row, several=several) for row in found))


def _cells(row: Row, *, several: bool) -> tuple[str, ...]:
    return (
        *((row.server,) if several else ()),
        row.proxy,
        str(row.stream),
        row.type,
        row.state,
        age(row.age),
        row.reason,
        "\n".join(row.origins),
    )
