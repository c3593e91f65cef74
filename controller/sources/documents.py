"""The bytes of a file as documents, with the line of every field, or as what is wrong there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from meltemi.controller.decode.schema import as_list, as_mapping
from meltemi.controller.sources.yaml_reader import Parsed, Unreadable, parse
from meltemi.controller.store.objects import FILE
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
MAX_DOCUMENT = 3 * MIB
MAX_FILE = 64 * MIB

NOT_YAML = "MEL0101"
TOO_LARGE = "MEL0107"
NOT_UTF8 = "MEL0108"

_SEPARATOR = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_MAP_KEY = re.compile(r"\[(?!\d+\])([^\]]*)\]")
_LAST_STEP = re.compile(r"(\.[^.\[]*|\[[^\]]*\])$")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a document stands: an order, for when two have one name.

    ``index`` counts the file's ``---``; ``item`` counts the objects of a List.
    """

    path: str
    index: int = 0
    item: int = 0


class Text:
    """A document's text, kept to find the lines of its fields when somebody asks."""

    __slots__ = ("_first_line", "_lines", "_text")

    def __init__(self, text: str, first_line: int) -> None:
        self._text = text
        self._first_line = first_line
        self._lines: dict[str, int] | None = None

    def line(self, field: str) -> int:
        """The line of a field such as ``spec.routes[2].match``, or of what is nearest above it."""
        if self._lines is None:
            self._lines = self._find()
        path = _MAP_KEY.sub(r".\1", field)
        while path and path not in self._lines:
            shorter = _LAST_STEP.sub("", path)
            path = shorter if shorter != path else ""
        # YAML knows rarer line breaks than editors do.
        last = self._text.count("\n") + 1
        return self._first_line + min(self._lines.get(path, 1), last) - 1

    def _find(self) -> dict[str, int]:
        # JSON may be indented by tabs and cannot have them elsewhere; YAML refuses them.
        text = self._text.replace("\t", " ") if _is_json(self._text) else self._text
        try:
            parsed = parse(text, positions=True)
        except Unreadable:
            return {}
        return {} if parsed is None else {"": parsed.line, **parsed.lines}


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """One object. ``prefix`` is its path inside the text: ``items[3]`` in a List."""

    position: Position
    value: object
    text: Text
    prefix: str = ""

    def line(self, field: str = "") -> int:
        """The line of a field of the object; of the object itself without one."""
        return self.text.line(".".join(part for part in (self.prefix, field) if part))


@dataclass(frozen=True, slots=True)
class Broken:
    """A document that is none. The rest of its file is read all the same."""

    position: Position
    line: int
    problem: Problem


Entry: TypeAlias = Document | Broken


def read_documents(path: str, content: bytes) -> list[Entry]:
    """Everything in a file, in order. Never raises."""
    if len(content) > MAX_FILE:
        return [Broken(Position(path), 0, too_large(path, "file", MAX_FILE))]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        cause = f"byte {error.start} is not UTF-8"
        return [Broken(Position(path), line, _problem(path, NOT_UTF8, cause, "save it as UTF-8"))]
    entries: list[Entry] = []
    line = 1
    for index, chunk in enumerate(_chunks(text)):
        entries += _read_chunk(Position(path, index), chunk, line)
        line += chunk.count("\n")
    return entries


def too_large(path: str, what: str, limit: int) -> Problem:
    """The problem of a file or document that is not even looked at."""
    cause = f"the {what} is larger than {limit // MIB} MiB"
    return _problem(path, TOO_LARGE, cause, "split it")


def _chunks(text: str) -> Iterator[str]:
    """Cut before every ``---``, so that one broken document does not hide the next."""
    starts = [0, *(found.start() for found in _SEPARATOR.finditer(text))]
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        yield text[start:end]


def _read_chunk(position: Position, chunk: str, first_line: int) -> Iterator[Entry]:
    if not any(map(_says_something, chunk.splitlines())):
        return
    if len(chunk.encode()) > MAX_DOCUMENT:
        yield Broken(position, first_line, too_large(position.path, "document", MAX_DOCUMENT))
        return
    try:
        parsed = _parse(chunk)
    except Unreadable as error:
        line = first_line + error.line - 1
        problem = _problem(position.path, NOT_YAML, str(error), error.next_step)
        yield Broken(position, line, problem)
        return
    if parsed is not None:
        yield from _objects(position, parsed, Text(chunk, first_line))


def _says_something(line: str) -> bool:
    """Neither blank nor a comment nor a directive such as ``%YAML 1.2``."""
    return line.strip()[:1] not in {"", "#", "%"}


def _parse(chunk: str) -> Parsed | None:
    """JSON may be no YAML: indented by tabs, or with surrogate pairs."""
    try:
        return parse(chunk)
    except Unreadable:
        if _is_json(chunk) and (parsed := _parse_json(chunk)) is not None:
            return parsed
        raise


def _is_json(text: str) -> bool:
    return text.lstrip()[:1] == "{"


def _parse_json(text: str) -> Parsed | None:
    """None when it is no JSON either: then what is wrong with it as YAML says more."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return Parsed(1, value)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a key stands there twice")
    return entries


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no number")


def _objects(position: Position, parsed: Parsed, text: Text) -> Iterator[Document]:
    """The object, or those of a List; an empty document is nothing."""
    if parsed.value is None:
        return
    body = as_mapping(parsed.value) or {}
    kind, items = body.get("kind"), as_list(body.get("items"))
    if items is None or not (isinstance(kind, str) and kind.endswith("List")):
        yield Document(position, parsed.value, text)
        return
    for i, item in enumerate(items):
        yield Document(replace(position, item=i), item, text, f"items[{i}]")


def _problem(path: str, code: str, cause: str, next_step: str) -> Problem:
    return Problem(code, Ref(FILE, "", path), cause, next_step)
