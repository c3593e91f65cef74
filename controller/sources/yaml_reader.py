"""YAML as Kubernetes means it: JSON's types only, duplicate keys refused, everything bounded.

``true`` and ``false`` are the only booleans, dates stay text, keys are strings. An alias counts
as much as what it stands for, so a few hundred bytes cannot become a billion nodes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from meltemi.controller.decode.schema import as_list, as_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH = 64
MAX_NODES = 500_000

LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_TAGGED: dict[str, tuple[type, ...]] = {
    f"{_TAG}int": (int,),
    f"{_TAG}float": (float, int),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
}
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})|0x[0-9a-fA-F]{1,16}|0o[0-7]{1,21}|[-+]?0[0-7]{1,21}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_MERGE = "<<"
_BEGINS = frozenset({"apiVersion", "kind", "metadata"})


class Unreadable(Exception):
    """The text is no such YAML. ``line`` counts from 1; the message is a clause."""

    def __init__(self, line: int, message: str, next_step: str = "correct the syntax") -> None:
        super().__init__(message)
        self.line = line
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document: its value and, where asked for, the line of every field path."""

    line: int
    value: object
    lines: dict[str, int] = field(default_factory=dict[str, int])


def parse(text: str, *, positions: bool = False) -> Parsed | None:
    """The one document of the text; None when there is none. Raises Unreadable."""
    reader = _Reader(text, positions=positions)
    try:
        return reader.document()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, "a control character is not allowed") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        line = min(line, text.count("\n") + 1)  # what is missing at the end is on no line
        clauses = (error.context, error.problem)
        raise Unreadable(line, ": ".join(clause for clause in clauses if clause)) from error


class _Reader:
    """Builds values from the parser's events, which come one by one: nothing is built twice."""

    def __init__(self, text: str, *, positions: bool) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=LOADER)
        self._positions = positions
        self._lines: dict[str, int] = {}
        self._anchors: dict[str, tuple[object, int]] = {}
        self._nodes = 0

    def document(self) -> Parsed | None:
        parsed: Parsed | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if parsed is not None:
                    raise Unreadable(_line(event), "another document begins without ---")
                first = next(self._events)
                parsed = Parsed(_line(first), self._node(first, "", 0), self._lines)
        return parsed

    def _node(self, event: yaml.Event, path: str, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise Unreadable(_line(event), f"it is nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self._nodes
        self._count(1, event)
        if isinstance(event, yaml.MappingStartEvent):
            _check_tag(event, "map")
            value: object = self._mapping(path, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            _check_tag(event, "seq")
            value = self._sequence(path, depth)
        elif isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
        else:
            raise Unreadable(_line(event), "a value is missing")
        if event.anchor:
            self._anchors[event.anchor] = (value, self._nodes - before)
        return value

    def _alias(self, event: yaml.AliasEvent) -> object:
        if (known := self._anchors.get(event.anchor or "")) is None:
            raise Unreadable(_line(event), f"*{event.anchor} names no complete value above it")
        value, size = known
        self._count(size, event)
        return value

    def _sequence(self, path: str, depth: int) -> list[object]:
        items: list[object] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            where = self._at(f"{path}[{len(items)}]", event) if self._positions else ""
            items.append(self._node(event, where, depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, object]:
        entries: dict[str, object] = {}
        merged: dict[str, object] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            where = self._at(f"{path}.{key}" if path else key, event) if self._positions else ""
            value = self._node(next(self._events), where, depth + 1)
            if key == _MERGE and _is_plain(event):
                merged = _merge(value, event) | merged
            elif key in entries:
                # Files that were joined without a separator look like this.
                joined = depth == 0 and key in _BEGINS
                next_step = "write --- between two objects" if joined else "remove one of them"
                raise Unreadable(_line(event), f"the key {key!r} stands there twice", next_step)
            else:
                entries[key] = value
        return merged | entries if merged else entries

    def _key(self, event: yaml.Event) -> str:
        """As it is written: JSON has no other keys than strings."""
        if isinstance(event, yaml.ScalarEvent):
            self._count(1, event)
            return event.value
        if isinstance(event, yaml.AliasEvent) and isinstance(key := self._alias(event), str):
            return key
        raise Unreadable(_line(event), "a key is no plain text")

    def _at(self, path: str, event: yaml.Event) -> str:
        self._lines[path] = _line(event)
        return path

    def _count(self, nodes: int, event: yaml.Event) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise Unreadable(_line(event), f"it has more than {MAX_NODES} values")


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else mark.line + 1


def _is_plain(event: yaml.Event) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.implicit[0]


def _merge(value: object, event: yaml.Event) -> dict[str, object]:
    """``<<``: another mapping's entries, or those of several, where the first wins."""
    merged: dict[str, object] = {}
    sources = as_list(value)
    for source in [value] if sources is None else sources:
        if (entries := as_mapping(source)) is None:
            raise Unreadable(_line(event), "<< needs a mapping")
        merged = entries | merged
    return merged


def _check_tag(event: yaml.CollectionStartEvent, name: str) -> None:
    if event.tag not in {None, "!", f"{_TAG}{name}"}:
        raise Unreadable(_line(event), f"the tag {event.tag} is not allowed here")


def _scalar(event: yaml.ScalarEvent) -> object:
    tag, text = event.tag, event.value
    if tag in {"!", f"{_TAG}str"}:
        return text
    if tag is None:
        return _plain(text) if event.implicit[0] else text
    value = _plain(text)
    if type(value) not in _TAGGED.get(tag, ()):
        raise Unreadable(_line(event), f"the tag {tag} is not allowed here")
    return value


def _plain(text: str) -> object:
    if text in _NULL:
        return None
    if (flag := _BOOL.get(text)) is not None:
        return flag
    if _INT.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text) and abs(number := float(text)) != float("inf"):
        return number
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if digits != "0" and digits[0] == "0" and digits.isdigit():
        return int(text, 8)  # 0420, as file modes are written
    return int(text, 0)
