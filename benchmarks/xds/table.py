"""Tables for people."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Table:
    """A table with a title and what its ``columns`` (``a | b``) mean."""

    title: str
    about: str
    columns: str
    rows: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])

    def add(self, *cells: object) -> None:
        """A row."""
        self.rows.append(tuple(map(str, cells)))

    def markdown(self) -> str:
        """The table as a section of a page."""
        columns = tuple(self.columns.split(" | "))
        lines = [columns, ("---",) * len(columns), *self.rows]
        text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"### {self.title}\n\n{self.about}\n\n{text}\n"
