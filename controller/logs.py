"""Structured logs to standard error: events are nouns and participles with fields (``events``)."""

from __future__ import annotations

import sys
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from meltemi.controller.log_limit import LogLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, Processor, WrappedLogger

RATE = 20.0
"""Entries of one name a second, after a hundred at once: a log that is flooded tells nothing."""


class Flood:
    """Drops what is too much of one name; the next that is let through says how many that were,
    in ``left_out``.
    """

    def __init__(self, rate: float = RATE, clock: Callable[[], float] = monotonic) -> None:
        self._log_limit = LogLimit(rate)
        self._clock = clock

    def __call__(self, _: WrappedLogger, __: str, entry: EventDict) -> EventDict:
        """A processor of structlog."""
        left_out = self._log_limit.take(entry["event"], self._clock())
        if left_out is None:
            raise structlog.DropEvent
        if left_out:
            entry["left_out"] = entry.get("left_out", 0) + left_out
        return entry


def set_up(log_format: str) -> None:
    """``console`` for people, ``json`` for machines."""
    last: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            Flood(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            last,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
