"""What a terminal shows, and what a pipe."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from meltemi.demo.claims import Claim, Observed
from meltemi.demo.show import NOT_SEEN, SEEN, Show
from meltemi.demo.story import STEPS

WEIGHTS = STEPS[0]
GOOD = Observed(saved=0.0, change=0.02, before=0.2, after=0.9, calls=1000, failed=0)


def told(*, terminal: bool) -> str:
    """A step and a summary."""
    console = Console(file=StringIO(), force_terminal=terminal, width=120, color_system=None)
    with Show(console) as show:
        show.begin(WEIGHTS)
        show.done(WEIGHTS, GOOD, held=True)
        show.summary([Claim("It works", held=True, measured="yes"), Claim("It flies", False, "no")])
        show.now({"orders": "90%"})
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    assert told(terminal=False).splitlines() == [
        "Dubbo: weights 80/20 → 10/90",
        f"  {SEEN} 20 ms; v1/v2 80/20 → 10/90; 0 of 1,000 calls failed",
        "",
        f"{SEEN} It works: yes",
        f"{NOT_SEEN} It flies: no",
    ]


def test_a_terminal_gets_a_table_with_the_summary_below_it() -> None:
    shown = told(terminal=True)
    row, summary = shown.rindex("v1/v2 80/20 → 10/90"), shown.index(f"{SEEN} It works: yes")
    assert "save → first changed answer" in shown
    assert row < summary < shown.index("now: orders: 90%")
