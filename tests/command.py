"""The command line, called as a program calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner, Result

from meltemi.cli.app import app

EXAMPLES = Path(__file__).parents[1] / "examples"


class Run(Protocol):
    """Runs ``meltemi`` with these arguments."""

    def __call__(self, *args: object, stdin: str | bytes = "") -> Result: ...


@pytest.fixture
def run() -> Run:
    """In this process; an exception that is no exit code fails the test."""

    def call(*args: object, stdin: str | bytes = "") -> Result:
        result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


@pytest.fixture
def examples() -> Path:
    """The folder of examples, one per protocol."""
    return EXAMPLES
