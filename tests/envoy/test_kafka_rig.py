"""The Kafka tools against each other: a real cluster, a real Envoy, and clients that count."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from meltemi.testing.envoy import Envoy
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.kafka import UPSTREAM_BIND, KafkaCluster, kafka_runtime
from meltemi.testing.kafka_clients import (
    ConsumerGroup,
    KafkaRefusedError,
    SteadyProducer,
    brokers,
    create_topic,
    read_topic,
    write_in_transaction,
)
from meltemi.testing.ports import LOOPBACK, Address, free_port, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

TYPES = "type.googleapis.com/envoy"
PATIENCE_S = 90


@pytest.fixture(scope="module", autouse=True)
def _kafka_at_hand() -> None:
    """Fetched once; where that is impossible the tests are left out, and the summary says why."""
    try:
        kafka_runtime()
    except UnavailableError as error:
        pytest.skip(f"Kafka was left out: {error}")


def socket_address(address: Address) -> dict[str, Any]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def assignment(name: str, addresses: Sequence[Address]) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": socket_address(each)}} for each in addresses]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def write_endpoints(path: Path, name: str, *addresses: Address) -> Path:
    """A file that Envoy watches: it notices a file that is moved into its place."""
    resource = {
        "@type": f"{TYPES}.config.endpoint.v3.ClusterLoadAssignment",
        **assignment(name, addresses),
    }
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"resources": [resource]}))
    return fresh.rename(path)


def listener(name: str, at: Address) -> dict[str, Any]:
    """It passes every connection to the cluster of its name."""
    proxy = {
        "@type": f"{TYPES}.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "cluster": name,
    }
    filters = [{"name": "tcp", "typed_config": proxy}]
    return {"name": name, "address": socket_address(at), "filter_chains": [{"filters": filters}]}


def cluster(name: str, endpoints: Path) -> dict[str, Any]:
    return {
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": {"path_config_source": {"path": str(endpoints)}}},
    }


def bootstrap(listeners: Mapping[str, Address], folder: Path) -> dict[str, Any]:
    """Listeners and clusters by name; ``NAME.json`` in the folder has a cluster's endpoints."""
    return {
        "node": {"id": "kafka", "cluster": "kafka"},
        "cluster_manager": {"upstream_bind_config": UPSTREAM_BIND},
        "static_resources": {
            "listeners": [listener(name, at) for name, at in listeners.items()],
            "clusters": [cluster(name, folder / f"{name}.json") for name in listeners],
        },
    }


@dataclass(frozen=True, slots=True)
class Rig:
    """A cluster behind an Envoy, with a listener for all brokers and one for each."""

    kafka: KafkaCluster
    envoy: Envoy
    listeners: Mapping[str, Address]
    folder: Path

    @property
    def bootstrap(self) -> Address:
        return self.listeners["all"]

    def tell_envoy(self) -> None:
        """Give the present addresses of the brokers to Envoy."""
        at = {broker: self.kafka.listener(broker) for broker in self.kafka.brokers}
        write_endpoints(self.folder / "all.json", "all", *at.values())
        for broker, address in at.items():
            name = f"broker-{broker}"
            write_endpoints(self.folder / f"{name}.json", name, address)

    async def connections(self) -> dict[str, int]:
        """How many connections each listener ever had."""
        stats = await self.envoy.stats("tcp.")
        return {name: stats[f"tcp.{name}.downstream_cx_total"] for name in self.listeners}

    async def received_from(self, name: str) -> int:
        """How many bytes came to Envoy from a cluster."""
        stat = f"cluster.{name}.upstream_cx_rx_bytes_total"
        return (await self.envoy.stats(stat))[stat]


@asynccontextmanager
async def running(folder: Path, count: int, *, advertise_envoy: bool) -> AsyncGenerator[Rig]:
    ports = free_ports(count + 1)
    names = ["all", *(f"broker-{broker}" for broker in range(1, count + 1))]
    listeners = {name: Address(LOOPBACK, port) for name, port in zip(names, ports, strict=True)}
    told = {broker: listeners[f"broker-{broker}"] for broker in range(1, count + 1)}
    async with KafkaCluster(told if advertise_envoy else None, brokers=count) as kafka:
        rig = Rig(kafka, Envoy(bootstrap(listeners, folder)), listeners, folder)
        rig.tell_envoy()
        async with rig.envoy as envoy:
            await envoy.wait_ready()
            yield rig


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Rig]:
    folder = tmp_path_factory.mktemp("endpoints")
    async with running(folder, 2, advertise_envoy=True) as started:
        yield started


async def test_clients_are_sent_to_envoy_and_nowhere_else(rig: Rig) -> None:
    assert await brokers(rig.bootstrap) == {
        broker: rig.listeners[f"broker-{broker}"] for broker in rig.kafka.brokers
    }


async def test_every_connection_of_every_client_passes_envoy(rig: Rig) -> None:
    await create_topic(rig.bootstrap, "passing")
    async with asyncio.timeout(PATIENCE_S):
        async with SteadyProducer(rig.bootstrap, "passing") as producer:
            await producer.more(100)
        assert not producer.delivery(await read_topic(rig.bootstrap, "passing")).lost
    assert min((await rig.connections()).values()) > 0
    assert {each.broker for each in rig.kafka.client_connections()} == {1, 2}
    assert rig.kafka.direct_connections() == ()


async def test_a_topic_that_exists_is_not_created_again(rig: Rig) -> None:
    await create_topic(rig.bootstrap, "twice")
    with pytest.raises(KafkaRefusedError, match="twice: TopicAlreadyExistsError"):
        await create_topic(rig.bootstrap, "twice")


async def test_a_group_shares_the_partitions_and_reads_everything_through_envoy(rig: Rig) -> None:
    await create_topic(rig.bootstrap, "shared", partitions=4)
    async with asyncio.timeout(PATIENCE_S):
        async with ConsumerGroup(rig.bootstrap, "shared", "readers", members=2) as group:
            async with SteadyProducer(rig.bootstrap, "shared") as producer:
                await group.until(lambda reads: {each.member for each in reads} == {0, 1})
                await producer.more(100)
            await group.until_read(producer.acknowledged)
        delivery = producer.delivery(await read_topic(rig.bootstrap, "shared"))
    assert not delivery.lost
    assert not delivery.duplicated
    assert delivery.failed == 0
    assert len({each.partition for each in group.reads}) == 4


async def test_an_aborted_transaction_is_there_but_not_for_readers_of_committed_records(
    rig: Rig,
) -> None:
    await create_topic(rig.bootstrap, "atomic")
    async with asyncio.timeout(PATIENCE_S):
        for numbers, commit in ((range(5), True), (range(5, 10), False)):
            await write_in_transaction(
                rig.bootstrap, "atomic", numbers, transactional_id="writer", commit=commit
            )
        committed = await read_topic(rig.bootstrap, "atomic", committed_only=True)
        everything = await read_topic(rig.bootstrap, "atomic")
    assert sorted(committed) == [0, 1, 2, 3, 4]
    assert sorted(everything) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


async def test_a_broker_killed_and_back_elsewhere_and_one_restarted_cost_no_record(
    rig: Rig,
) -> None:
    await create_topic(rig.bootstrap, "moved")
    async with asyncio.timeout(PATIENCE_S):
        async with SteadyProducer(rig.bootstrap, "moved") as producer:
            await producer.more(100)
            await rig.kafka.kill(2)
            await producer.more(100)
            await rig.kafka.restart(2, port=free_port())
            received = await rig.received_from("broker-2")
            rig.tell_envoy()
            # It leads partitions again, and the producer has reached it where it is now.
            while await rig.received_from("broker-2") == received:  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.05)
            await producer.more(100)
            await rig.kafka.restart(1)
            await producer.more(100)
        delivery = producer.delivery(await read_topic(rig.bootstrap, "moved"))
    assert not delivery.lost
    assert not delivery.duplicated
    assert delivery.failed == 0
    new_port = rig.kafka.listener(2).port
    assert (2, new_port) in {(each.broker, each.port) for each in rig.kafka.client_connections()}
    assert rig.kafka.direct_connections() == ()


async def test_without_advertised_addresses_calls_succeed_and_go_round_envoy(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, 1, advertise_envoy=False) as rig, asyncio.timeout(PATIENCE_S):
        assert await brokers(rig.bootstrap) == {1: rig.kafka.listener(1)}
        await create_topic(rig.bootstrap, "round", replicas=1)
        async with SteadyProducer(rig.bootstrap, "round") as producer:
            await producer.more(100)
        assert not producer.delivery(await read_topic(rig.bootstrap, "round")).lost
        connections = await rig.connections()
        assert connections["all"] > 0
        assert connections["broker-1"] == 0
        assert rig.kafka.direct_connections()
