"""Who started which real server, nested and outside of any test."""

from __future__ import annotations

from threading import Thread

import pytest

from meltemi.testing.evidence import (
    Ability,
    collecting,
    collecting_abilities,
    record,
    record_ability,
)


@pytest.fixture(autouse=True)
def _unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    """These servers do not exist: the summary of this very run must not count them."""
    monkeypatch.setattr("meltemi.testing.evidence._open", [])
    monkeypatch.setattr("meltemi.testing.evidence._open_abilities", [])


def test_every_open_block_hears_of_a_server() -> None:
    with collecting() as outer:
        record("Envoy 1")
        with collecting() as inner:
            record("Valkey 9")
        record("Thrift 0")
    assert inner == {"Valkey 9"}
    assert outer == {"Envoy 1", "Valkey 9", "Thrift 0"}


def test_a_closed_block_hears_nothing_more() -> None:
    with collecting() as servers:
        pass
    record("Envoy 1")
    assert servers == set()


def test_a_server_started_in_a_thread_is_heard_of() -> None:
    with collecting() as servers:
        thread = Thread(target=record, args=["Envoy 1"])
        thread.start()
        thread.join()
    assert servers == {"Envoy 1"}


def test_every_open_block_hears_of_an_ability() -> None:
    with collecting_abilities() as outer:
        with collecting_abilities() as inner:
            record_ability("dubbo", "generic_proxy", "weights", "1")
        record_ability("redis", "redis_proxy", "mirror", "1")
    record_ability("tcp", "tcp_proxy", "weights", "1")
    assert inner == {Ability("dubbo", "generic_proxy", "weights", "1")}
    assert outer == inner | {Ability("redis", "redis_proxy", "mirror", "1")}
