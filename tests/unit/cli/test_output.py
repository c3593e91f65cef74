"""Tables fit the terminal that they are shown on."""

from __future__ import annotations

import io
import sys

import pytest
from click import unstyle

from meltemi.cli.output import print_table


class Terminal(io.StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 40])
def test_a_narrow_terminal_gets_every_letter(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    print_table(("1", "2", "3"), [("a" * 90, "b" * 5, "c" * 90)])
    shown = unstyle(terminal.getvalue())
    assert max(map(len, shown.splitlines())) <= columns
    assert [shown.count(letter) for letter in "abc"] == [90, 5, 90]


def test_a_table_that_nobody_watches_is_wide(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("where",), [("x" * 150,)])
    assert "x" * 150 in capsys.readouterr().out


def test_what_somebody_else_wrote_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("proxy",), [("edge\x1b[2J\r\a\u202e é\nnext",)])
    shown = capsys.readouterr().out
    assert r"edge\x1b[2J\r\x07\u202e é" in shown
    assert "next" in map(str.strip, shown.splitlines())
