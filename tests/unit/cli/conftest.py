"""Fixtures of the command line's tests."""

from __future__ import annotations

from tests.command import examples, run

__all__ = ["examples", "run"]
