"""What commands print: tables for people, JSON or YAML for programs, sentences for mistakes."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Format = Literal["table", "json", "yaml"]
Document = Literal["json", "yaml"]

OutputOption = Annotated[
    Format, typer.Option("--output", "-o", help="A table for people, or data for programs.")
]

PIPED_WIDTH = 200
"""Columns of a table that nobody watches; a terminal has its own width."""


class Exit(IntEnum):
    """Exit codes, the same for every command."""

    FINE = 0
    ERRORS = 1
    USAGE = 2
    UNREACHABLE = 3


def fail(text: str, code: Exit = Exit.USAGE) -> NoReturn:
    """End the command with a sentence on standard error."""
    note(f"meltemi: {text}")
    raise typer.Exit(code)


def note(text: str) -> None:
    """A line on standard error."""
    typer.echo(text, err=True)


def print_data(data: object, form: Document) -> None:
    """JSON or YAML on standard output; tuples are lists."""
    text = json.dumps(data, indent=2)
    if form == "yaml":
        import yaml

        text = yaml.safe_dump(json.loads(text), sort_keys=False, allow_unicode=True).rstrip()
    typer.echo(text)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, err: bool = False
) -> None:
    """A table with a headline; without colours unless a person watches.

    In a narrow terminal cells go on in the next line: nothing is cut off. What a proxy or a file
    says steers no terminal.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Column, Table

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    headline = (Column(column, overflow="fold") for column in columns)
    table = Table(*headline, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*map(visible, row))
    # Texts of users are full of brackets, which are no markup.
    Console(file=stream, width=width, markup=False, highlight=False, emoji=False).print(table)


def visible(text: str) -> str:
    """With escapes for what is no character to look at, but lines."""
    return "".join(
        each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text
    )
