"""The log is readable by machines, and a flood does not drown it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from meltemi.controller import logs
from meltemi.controller.logs import Flood

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture(autouse=True)
def _own_configuration() -> Generator[None]:
    yield
    structlog.reset_defaults()


def let_through(flood: Flood, event: str, times: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for _ in range(times):
        try:
            found.append(dict(flood(None, "info", {"event": event})))
        except structlog.DropEvent:
            continue
    return found


def test_a_flood_of_one_name_is_cut_and_others_are_not() -> None:
    flood = Flood(rate=2.0, clock=lambda: 0.0)
    assert len(let_through(flood, "proxy.connected", 1_000)) == 11
    assert len(let_through(flood, "proxy.nacked", 5)) == 5


def test_what_was_left_out_is_counted_on_the_next_that_is_not() -> None:
    now = [0.0]
    flood = Flood(rate=2.0, clock=lambda: now[0])
    let_through(flood, "proxy.connected", 111)
    now[0] = 1.0
    first, second = let_through(flood, "proxy.connected", 2)
    assert first == {"event": "proxy.connected", "left_out": 100}
    assert second == {"event": "proxy.connected"}


def test_what_the_entry_itself_left_out_counts_as_well() -> None:
    now = [0.0]
    flood = Flood(rate=2.0, clock=lambda: now[0])
    let_through(flood, "proxy.nacked", 12)
    now[0] = 1.0
    entry = flood(None, "info", {"event": "proxy.nacked", "left_out": 3})
    assert entry["left_out"] == 4


def test_as_json_every_entry_is_one_line_with_its_name_level_and_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("json")
    log: Any = structlog.get_logger("test")
    log.warning("proxy.nacked", error="line\nline", stream=1)
    try:
        int("why")
    except ValueError:
        log.exception("source.failed", path="rules")
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert {**first, "timestamp": ""} == {
        "event": "proxy.nacked",
        "level": "warning",
        "timestamp": "",
        "error": "line\nline",
        "stream": 1,
    }
    assert "ValueError: invalid literal" in second["exception"]


def test_on_a_console_an_entry_begins_with_its_time_and_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("console")
    log: Any = structlog.get_logger("test")
    log.info("source.synced", objects=3)
    line = capsys.readouterr().err
    assert "[info" in line
    assert "source.synced" in line
    assert "objects=3" in line
