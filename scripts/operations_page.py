"""Write the tables of docs/operations.md: the metrics that there are, and the log's entries."""

from __future__ import annotations

import sys
from pathlib import Path

from meltemi.controller.events import EVENTS
from meltemi.controller.metrics import CATALOGUE

PAGE = Path(__file__).parents[1] / "docs" / "operations.md"
END = "<!-- end -->\n"


def metrics() -> str:
    """A row per metric."""
    rows = [
        f"| `{spec.name}` | {spec.kind.value} | {_code(spec.labels)} | {spec.help} |\n"
        for spec in CATALOGUE
    ]
    return "".join(("| metric | kind | labels | |\n|---|---|---|---|\n", *rows))


def events() -> str:
    """A row per entry, by name."""
    rows = [
        f"| `{name}` | {entry.level} | {_code(entry.fields)} | {entry.meaning} |\n"
        for name, entry in sorted(EVENTS.items())
    ]
    return "".join(("| event | level | fields | |\n|---|---|---|---|\n", *rows))


def _code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def page(text: str) -> str:
    """The page with its tables as they should be."""
    for name, table in (("metrics", metrics()), ("events", events())):
        begin = f"<!-- {name}: written by scripts/operations_page.py -->\n"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(END)
        if not (found and ended):
            sys.exit(f"{PAGE} has no place for {name}")
        text = before + begin + table + END + after
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
