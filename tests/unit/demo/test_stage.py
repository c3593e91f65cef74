"""The demo where it cannot be played: a sentence and an exit code."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from meltemi.demo import brokers, main, stage
from meltemi.testing.envoy_binary import EnvoyUnavailableError
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.process import ServerProcessError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from meltemi.demo.rules import Serving


def break_rig(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    @asynccontextmanager
    async def rig(
        _: Callable[[str], None], serving: Serving, *, with_kafka: bool
    ) -> AsyncGenerator[None]:
        raise ExceptionGroup("tasks", [error])
        yield

    monkeypatch.setattr(stage, "rig", rig)
    monkeypatch.setattr(stage, "envoy_binary", envoy_at_hand)
    monkeypatch.setattr(brokers, "kafka_runtime", no_kafka)


def envoy_at_hand(progress: Callable[[str], None]) -> Path | None:
    """Nothing to fetch."""


def no_kafka(progress: Callable[[str], None]) -> None:
    raise UnavailableError("Kafka cannot be fetched: check the network.")


def test_without_an_envoy_it_says_why_and_the_code_is_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_network(progress: Callable[[str], None]) -> Path:
        raise EnvoyUnavailableError("Envoy cannot be fetched: check the network.")

    monkeypatch.setattr(stage, "envoy_binary", no_network)
    assert main(stay=False) == 3
    assert capsys.readouterr().out == "meltemi: Envoy cannot be fetched: check the network.\n"


@pytest.mark.parametrize(
    "error", [ServerProcessError("Valkey is not installed."), OSError("no such port")]
)
def test_what_the_machine_refuses_is_a_sentence_and_the_code_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    break_rig(monkeypatch, error)
    assert main(stay=False) == 1
    assert capsys.readouterr().out == (
        "Kafka is left out: Kafka cannot be fetched: check the network.\n"
        f"meltemi: the demo cannot go on: {error}\n"
    )


def test_a_mistake_of_the_demo_itself_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    break_rig(monkeypatch, ValueError("the story does not fit the examples"))
    with pytest.raises(ValueError, match="does not fit"):
        main(stay=False)
