from __future__ import annotations

from pathlib import Path

import pytest

from meltemi.testing import kafka
from meltemi.testing.java import JavaRuntime
from meltemi.testing.kafka import KafkaCluster, Listeners, Runtime, accepted, properties
from meltemi.testing.ports import LOOPBACK, Address
from meltemi.testing.process import ServerProcessError

TWO = {
    1: Listeners(Address(LOOPBACK, 11), Address(LOOPBACK, 12), Address(LOOPBACK, 13)),
    2: Listeners(Address(LOOPBACK, 21), Address(LOOPBACK, 22), Address(LOOPBACK, 23)),
}
ENVOY = Address(LOOPBACK, 9000)


def settings(broker: int, advertised: Address | None = None) -> dict[str, str]:
    text = properties(broker, TWO, advertised, Path("data"))
    return dict(line.split("=", 1) for line in text.splitlines())


def test_the_first_broker_is_the_controller_of_all() -> None:
    first, second = settings(1), settings(2)
    assert first["process.roles"] == "broker,controller"
    assert second["process.roles"] == "broker"
    assert "CONTROLLER://127.0.0.1:13" in first["listeners"]
    assert "CONTROLLER" not in second["listeners"]
    assert first["controller.quorum.voters"] == "1@127.0.0.1:13"
    assert second["controller.quorum.voters"] == "1@127.0.0.1:13"


def test_clients_are_sent_to_the_proxy_and_brokers_to_each_other() -> None:
    told = settings(2, ENVOY)
    assert told["listeners"] == "CLIENT://127.0.0.1:21,INTERNAL://127.0.0.1:22"
    assert told["advertised.listeners"] == "CLIENT://127.0.0.1:9000,INTERNAL://127.0.0.1:22"
    assert told["inter.broker.listener.name"] == "INTERNAL"


def test_without_a_proxy_a_broker_advertises_itself() -> None:
    assert settings(2)["advertised.listeners"].startswith("CLIENT://127.0.0.1:21,")


def test_every_broker_has_a_copy_of_everything() -> None:
    copies = {
        key: value for key, value in settings(1).items() if key.endswith("replication.factor")
    }
    assert set(copies.values()) == {"2"}
    assert len(copies) == 3


def test_accepted_connections_are_read_from_what_the_acceptor_logs() -> None:
    log = (
        "[main] INFO kafka.network.DataPlaneAcceptor - Awaiting socket connections on "
        "127.0.0.1:11.\n"
        "[data-plane-kafka-socket-acceptor-CLIENT-PLAINTEXT-11] DEBUG "
        "kafka.network.DataPlaneAcceptor - Accepted connection from /127.0.0.2:40000 on "
        "/127.0.0.1:11 and assigned it to processor 0, sendBufferSize [actual|requested]: "
        "[102400|102400] recvBufferSize [actual|requested]: [102400|102400]\n"
    )
    assert list(accepted(log)) == [(11, Address("127.0.0.2", 40000))]


def java(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the brokers run by a program that does something else."""
    program = folder / "java"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    runtime = Runtime(JavaRuntime(program, "17"), (folder / "a.jar", folder / "b.jar"), "4.1")

    def kafka_runtime(_: str) -> Runtime:
        return runtime

    monkeypatch.setattr(kafka, "kafka_runtime", kafka_runtime)


def test_the_jars_are_one_class_path(tmp_path: Path) -> None:
    runtime = Runtime(JavaRuntime(Path("java"), "17"), (Path("a.jar"), Path("b.jar")), "4.1")
    command = runtime.command("kafka.Kafka", "file")
    assert command[-4:] == ["-cp", "a.jar:b.jar", "kafka.Kafka", "file"]


async def test_storage_that_cannot_be_formatted_is_reported_with_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java(tmp_path, "echo no space; exit 3", monkeypatch)
    with pytest.raises(
        ServerProcessError, match=r"(?s)storage tool for broker 1 ended with code 3.*no space"
    ):
        async with KafkaCluster(folder=tmp_path):
            pass


async def test_a_broker_that_ends_at_once_is_reported_with_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    formats = 'case "$*" in *StorageTool*) exit 0;; esac'
    java(tmp_path, f"{formats}\necho port in use; exit 1", monkeypatch)
    with pytest.raises(ServerProcessError, match=r"(?s)broker 1 ended with code 1.*port in use"):
        async with KafkaCluster(folder=tmp_path):
            pass


def test_addresses_are_known_before_the_start_and_all_differ() -> None:
    cluster = KafkaCluster(brokers=3)
    addresses = {cluster.listener(broker) for broker in cluster.brokers} | {cluster.internal}
    assert cluster.brokers == (1, 2, 3)
    assert len(addresses) == 4


def test_a_cluster_that_was_not_started_has_no_processes() -> None:
    with pytest.raises(ServerProcessError, match="use `async with`"):
        KafkaCluster().process(1)


def test_the_ports_for_clients_may_be_chosen() -> None:
    cluster = KafkaCluster(client_ports=(9192,))
    assert cluster.listener(1).port == 9192
    assert cluster.listener(2).port not in {0, 9192}
