from __future__ import annotations

import logging

import pytest

from meltemi.testing.kafka_clients import Delivery, SteadyProducer, be_quiet, brokers
from meltemi.testing.ports import LOOPBACK, Address, free_port


def test_what_was_acknowledged_and_is_not_there_is_lost() -> None:
    delivery = Delivery(frozenset({1, 2, 3}), read=(3, 1))
    assert delivery.lost == {2}
    assert delivery.duplicated == set()


def test_what_is_there_twice_is_duplicated_and_not_lost() -> None:
    delivery = Delivery(frozenset({1, 2}), read=(1, 2, 1))
    assert delivery.duplicated == {1}
    assert delivery.lost == set()


def test_what_was_never_acknowledged_may_be_there_or_not() -> None:
    delivery = Delivery(frozenset({1}), read=(1, 2), failed=2)
    assert not delivery.lost
    assert not delivery.duplicated


def test_a_producer_counts_what_it_gave_up() -> None:
    producer = SteadyProducer(Address(LOOPBACK, 9), "topic")
    producer.acknowledged |= {0, 1}
    producer.errors["KafkaTimeoutError()"] += 3
    assert producer.delivery([0]) == Delivery(frozenset({0, 1}), (0,), failed=3)


async def test_where_nobody_listens_there_is_no_metadata() -> None:
    nobody = Address(LOOPBACK, free_port())
    with pytest.raises(ConnectionError, match=f"no Kafka metadata from {nobody}"):
        await brokers(nobody)


async def test_a_quiet_client_is_heard_by_those_who_listen_and_nobody_else(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    be_quiet()
    be_quiet()
    with caplog.at_level(logging.ERROR), pytest.raises(ConnectionError):
        await brokers(Address(LOOPBACK, free_port()))
    assert "Unable connect" in caplog.text
    assert len(logging.getLogger("aiokafka").handlers) == 1
    assert capfd.readouterr().err == ""
