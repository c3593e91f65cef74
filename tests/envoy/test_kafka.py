"""A real Kafka behind an Envoy that Meltemi rules: nobody goes round it, and nothing is lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from meltemi.controller.bootstrap import Wish, bootstrap
from meltemi.protocols.naming import stat_prefix
from meltemi.testing.envoy import Envoy
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.kafka import UPSTREAM_BIND, KafkaCluster, kafka_runtime
from meltemi.testing.kafka_clients import (
    ConsumerGroup,
    SteadyProducer,
    brokers,
    create_topic,
    read_topic,
    write_in_transaction,
)
from meltemi.testing.ports import LOOPBACK, Address, free_port, free_ports
from meltemi.testing.standalone import embedded_meltemi
from tests.abilities import Seen, saw
from tests.envoy.rig import save, until_stat

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from meltemi.testing.standalone import EmbeddedMeltemi
    from tests.envoy.rig import Document

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

HOST = "kafka.example"
BOOTSTRAP, PORT_BASE = 9092, 19090
PATIENCE_S = 90
BROKERS = (1, 2)


@pytest.fixture(scope="module", autouse=True)
def _kafka_at_hand() -> None:
    """Fetched once; where that is impossible the tests are left out, and the summary says why."""
    try:
        kafka_runtime()
    except UnavailableError as error:
        pytest.skip(f"Kafka was left out: {error}")


def service(broker: int = 0) -> tuple[str, int]:
    """Host and port of a broker's service; of the whole cluster's, if no broker is named."""
    if not broker:
        return HOST, BOOTSTRAP
    return f"broker-{broker}.{HOST}", PORT_BASE + broker


def cluster(at: Mapping[int, Address], advertised: Mapping[int, Address]) -> Document:
    """The KafkaCluster, with the brokers at these addresses."""

    def listed(addresses: Mapping[int, Address]) -> list[Document]:
        return [{"id": n, "host": at.host, "port": at.port} for n, at in addresses.items()]

    return {
        "apiVersion": "meltemi.io/v1alpha1",
        "kind": "KafkaCluster",
        "metadata": {"name": "events"},
        "spec": {
            "host": HOST,
            "brokers": listed(at),
            "listeners": {"bootstrap": BOOTSTRAP, "portBase": PORT_BASE},
            "advertised": listed(advertised),
        },
    }


@dataclass(frozen=True, slots=True)
class Stage:
    """A Kafka, the file that describes it, and an Envoy with a listener for each broker."""

    kafka: KafkaCluster
    file: Path
    meltemi: EmbeddedMeltemi
    envoy: Envoy
    entrances: Mapping[int, Address]
    advertised: Mapping[int, Address]

    @property
    def bootstrap(self) -> Address:
        return self.entrances[0]

    def save(self) -> None:
        """Save where the brokers are now."""
        at = {broker: self.kafka.listener(broker) for broker in BROKERS}
        save(self.file, cluster(at, self.advertised))

    def codes(self) -> list[tuple[str, str]]:
        """What Meltemi says is wrong, and where."""
        found = (finding.problem for finding in self.meltemi.plane.findings)
        return [(problem.code, problem.about.field) for problem in found]

    async def connections(self) -> dict[int, int]:
        """How many connections the listener of each broker ever had; 0 is the bootstrap's."""
        counted = {n: f"tcp.{stat_prefix(*service(n))}.downstream_cx_total" for n in self.entrances}
        stats = await self.envoy.stats("tcp.")
        return {n: stats[name] for n, name in counted.items()}


@asynccontextmanager
async def staged(folder: Path, *, through_envoy: bool) -> AsyncGenerator[Stage]:
    """The brokers send clients to Envoy, or else to themselves."""
    numbers = (0, *BROKERS)
    entrances: Mapping[int, Address] = dict(
        zip(numbers, (Address(LOOPBACK, port) for port in free_ports(3)), strict=True)
    )
    told = {n: at for n, at in entrances.items() if n} if through_envoy else None
    mapped = {"{}:{}".format(*service(n)): at.port for n, at in entrances.items()}
    kafka = KafkaCluster(told)
    advertised = told or {broker: kafka.listener(broker) for broker in BROKERS}
    file = folder / "kafka.yaml"
    save(file, cluster({broker: kafka.listener(broker) for broker in BROKERS}, advertised))
    async with kafka, embedded_meltemi(folder) as meltemi:
        wish = Wish(meltemi.xds.host, meltemi.xds.port, "kafka", {"ports": {**mapped}})
        document = bootstrap(wish).document | {
            "cluster_manager": {"upstream_bind_config": UPSTREAM_BIND}
        }
        async with Envoy(document) as envoy:
            await envoy.wait_ready()
            yield Stage(kafka, file, meltemi, envoy, entrances, advertised)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    async with staged(tmp_path_factory.mktemp("rules"), through_envoy=True) as started:
        yield started


async def test_every_connection_of_every_client_passes_envoy(stage: Stage) -> None:
    await create_topic(stage.bootstrap, "passing")
    async with asyncio.timeout(PATIENCE_S):
        async with SteadyProducer(stage.bootstrap, "passing") as producer:
            await producer.more(100)
        delivery = producer.delivery(await read_topic(stage.bootstrap, "passing"))
    assert (delivery.lost, delivery.failed) == (frozenset(), 0)
    assert await brokers(stage.bootstrap) == {n: stage.entrances[n] for n in BROKERS}
    assert min((await stage.connections()).values()) > 0
    assert stage.kafka.direct_connections() == ()
    assert stage.codes() == []
    await saw(stage.envoy, "kafka", Seen.PASSED)


async def test_groups_and_transactions_work(stage: Stage) -> None:
    await create_topic(stage.bootstrap, "shared", partitions=4)
    async with asyncio.timeout(PATIENCE_S):
        for numbers, commit in ((range(1000, 1005), True), (range(1005, 1010), False)):
            await write_in_transaction(
                stage.bootstrap, "shared", numbers, transactional_id="writer", commit=commit
            )
        async with ConsumerGroup(stage.bootstrap, "shared", "readers", members=2) as group:
            await group.until(lambda reads: {each.member for each in reads} == {0, 1})
            async with SteadyProducer(stage.bootstrap, "shared") as producer:
                await producer.more(50)
            await group.until_read(producer.acknowledged)
        committed = await read_topic(stage.bootstrap, "shared", committed_only=True)
    assert {number for number in committed if number >= 1000} == {*range(1000, 1005)}
    assert {each.partition for each in group.reads} == {0, 1, 2, 3}
    assert stage.kafka.direct_connections() == ()
    await saw(stage.envoy, "kafka", Seen.GROUPS)


async def test_a_broker_that_moves_by_a_saved_file_costs_no_record(stage: Stage) -> None:
    await create_topic(stage.bootstrap, "moved")
    async with asyncio.timeout(PATIENCE_S):
        async with SteadyProducer(stage.bootstrap, "moved") as producer:
            await producer.more(100)
            listeners = await stage.envoy.listeners()
            await stage.kafka.restart(2, port=free_port())
            cluster = "cluster.outbound|{1}||{0}".format(*service(2))
            received = (await stage.envoy.stats(cluster))[f"{cluster}.upstream_cx_rx_bytes_total"]
            stage.save()
            await until_stat(
                stage.envoy, f"{cluster}.upstream_cx_rx_bytes_total", lambda now: now > received
            )
            await producer.more(100)
        delivery = producer.delivery(await read_topic(stage.bootstrap, "moved"))
    assert (delivery.lost, delivery.duplicated, delivery.failed) == (frozenset(), frozenset(), 0)
    moved_to = stage.kafka.listener(2).port
    assert (2, moved_to) in {(each.broker, each.port) for each in stage.kafka.client_connections()}
    assert await stage.envoy.listeners() == listeners
    assert (await stage.envoy.stats("listener_manager."))["listener_manager.listener_modified"] == 0
    assert stage.kafka.direct_connections() == ()
    await saw(stage.envoy, "kafka", Seen.MOVED_BROKER)


async def test_a_new_client_gets_past_a_dead_broker(stage: Stage) -> None:
    await stage.kafka.kill(2)
    try:
        for _ in range(6):  # brokers take turns
            assert set(await brokers(stage.bootstrap)) <= {1, 2}
    finally:
        await stage.kafka.restart(2)


async def test_brokers_that_advertise_themselves_are_told_and_passed_directly(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, through_envoy=False) as stage, asyncio.timeout(PATIENCE_S):
        await create_topic(stage.bootstrap, "round")
        async with SteadyProducer(stage.bootstrap, "round") as producer:
            await producer.more(100)
        delivery = producer.delivery(await read_topic(stage.bootstrap, "round"))
        assert (delivery.lost, delivery.failed) == (frozenset(), 0)
        connections = await stage.connections()
        assert connections.pop(0) > 0
        assert set(connections.values()) == {0}
        assert stage.kafka.direct_connections()
        assert stage.codes() == [("MEL0421", f"spec.advertised[{i}]") for i in (0, 1)]
