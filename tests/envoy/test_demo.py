"""The demo, played: what it claims it has seen, and it leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meltemi.demo import brokers, main, watch
from meltemi.demo.rules import FolderRules
from meltemi.demo.show import NOT_SEEN, SEEN, Show
from meltemi.testing.fetching import silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from meltemi.demo.story import Edit

pytestmark = pytest.mark.envoy

CLAIMS, CLAIMS_OF_KAFKA = 12, 3


@pytest.fixture(autouse=True)
def short_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares of fewer calls, so that it takes seconds."""
    monkeypatch.setattr(watch, "WINDOW_S", 0.75)


def marks(text: str) -> str:
    """The verdicts of the summary, in order."""
    *_, summary = text.partition("\n\n")
    return "".join(line[0] for line in summary.splitlines() if line[:1] in {SEEN, NOT_SEEN})


def test_everything_is_observed_and_it_stays_up_until_it_is_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say = Show.say

    def say_and_stop(show: Show, text: str, style: str = "") -> None:
        say(show, text, style)
        if text.startswith("Everything stays up"):
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Show, "say", say_and_stop)
    claims = CLAIMS + CLAIMS_OF_KAFKA if brokers.kafka_at_hand(silent) else CLAIMS
    code = main(stay=True)
    told = capsys.readouterr().out
    assert marks(told) == SEEN * claims, told
    assert ("Kafka" in told) == (claims > CLAIMS or "Kafka is left out" in told)
    assert code == 0
    assert "routes.yaml:14: MEL0302" in told


def no_kafka(_: Callable[[str], None]) -> bool:
    """A machine that cannot have it; its steps would wait for an edit that never comes."""
    return False


def test_edits_that_never_reach_the_control_plane_are_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def forget(_: FolderRules, edit: Edit) -> None:
        """As if nobody had saved it."""

    monkeypatch.setattr(FolderRules, "save", forget)
    monkeypatch.setattr(brokers, "kafka_at_hand", no_kafka)
    monkeypatch.setattr(watch, "WINDOW_S", 0.2)
    monkeypatch.setattr(watch, "PATIENCE_S", 0.3)
    code = main(stay=False)
    told = capsys.readouterr().out
    # Without a mistake there is no error to tell, and nothing else happened to the calls.
    assert marks(told) == NOT_SEEN * 8 + SEEN * 2 + NOT_SEEN + SEEN, told
    assert "Envoy's log ends with:" in told
    assert code == 1


def mentions(folder: str) -> list[str]:
    """The processes whose command names the folder."""
    found: list[str] = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        found += [text] if folder in text else []
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything_that_was_started(number: signal.Signals) -> None:
    command = [sys.executable, "-u", "-m", "meltemi", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        folder = ""
        for line in demo.stdout:
            if "copy of the examples" in line:
                folder = line.rpartition(": ")[2].strip().removesuffix("/rules")
            if line.startswith("Calling on"):
                break
        assert len(mentions(folder)) >= 2  # Meltemi and Envoy, and what Kafka has started
        demo.send_signal(number)
        demo.stdout.read()
    assert demo.returncode == 130
    assert mentions(folder) == []
    assert not Path(folder).exists()
