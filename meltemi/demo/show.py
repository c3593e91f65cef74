"""Shows the demo: a live table in a terminal, plain lines in a pipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from meltemi.demo.claims import milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meltemi.demo.claims import Claim, Observed, Told
    from meltemi.demo.story import Step

SEEN, NOT_SEEN = "√", "×"  # noqa: RUF001  # a cross, no letter
COLUMNS = ("", "rule", "save → first changed answer", "shares", "failed calls")


@dataclass(frozen=True, slots=True)
class Row:
    """A step in the table. Without ``observed`` it is under way."""

    step: Step
    observed: Observed | None = None
    held: bool = False


class Show:
    """``with Show() as show``: what is told appears at once; the table stays below it."""

    def __init__(self, console: Console | None = None) -> None:
        # Texts of rules are full of brackets, which are no markup.
        self._console = console or Console(markup=False, highlight=False, emoji=False)
        self._rows: list[Row] = []
        self._below: Text | None = None
        self._live = Live(
            console=self._console, get_renderable=self._renderable, refresh_per_second=8
        )

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """A sentence of the narration."""
        self._console.print(Text(text, style), soft_wrap=True)

    def begin(self, step: Step) -> None:
        """This step is under way."""
        self._rows.append(Row(step))
        if not self._console.is_terminal:
            self.say(f"{step.protocol}: {step.title}")

    def done(self, step: Step, observed: Observed, *, held: bool) -> None:
        """What the step showed."""
        self._rows[-1] = row = Row(step, observed, held)
        if not self._console.is_terminal:
            _, _, seen, shares, failed = cells_of(row)
            self.say(f"  {mark(held=held)} {seen}; {shares}; {failed} calls failed")

    def finding(self, told: Told) -> None:
        """A finding as the control plane tells it."""
        self.say(f"{told.where}: {told.code} {told.title}", "bold red")
        self.say(f"  {told.cause}")
        self.say(f"  next step: {told.next_step}")

    def now(self, shares: Mapping[str, str]) -> None:
        """What the traffic does at the moment; only a terminal shows it."""
        self._below = Text("now: " + ";  ".join(f"{k}: {v}" for k, v in shares.items()))
        if self._console.is_terminal:
            self._live.start()

    def summary(self, claims: Iterable[Claim]) -> None:
        """Every claim with its verdict, below the table, which is complete now."""
        self._live.stop()
        self._rows.clear()
        self.say("")
        for claim in claims:
            style = "green" if claim.held else "bold red"
            self.say(f"{mark(held=claim.held)} {claim.text}: {claim.measured}", style)

    def _renderable(self) -> Group:
        below = [] if self._below is None else [self._below]
        return Group(*([table(self._rows)] if self._rows else []), *below)


def mark(*, held: bool) -> str:
    """Whether something was observed."""
    return SEEN if held else NOT_SEEN


def table(rows: Iterable[Row]) -> Table:
    """The steps until now, one row each."""
    drawn = Table(*COLUMNS, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        style = "dim" if row.observed is None else "" if row.held else "bold red"
        drawn.add_row(*cells_of(row), style=style)
    return drawn


def cells_of(row: Row) -> tuple[str, ...]:
    """The texts of a row."""
    step, observed = row.step, row.observed
    if observed is None:
        return step.protocol, step.title, "...", step.told(step.before, step.after), ""
    seen = "never" if observed.change is None else milliseconds(observed.change)
    sign = f" ({step.sign})" if step.sign else ""
    shares = step.told(observed.before, observed.after)
    return (
        step.protocol,
        step.title,
        seen + sign,
        shares,
        f"{observed.failed} of {observed.calls:,}",
    )
