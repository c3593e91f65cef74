"""The demo's Kafka: two brokers behind Envoy; one of them moves while records are written."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from meltemi.demo.claims import passage_claim, records_claim, step_claim
from meltemi.demo.story import move
from meltemi.demo.watch import heed_cancellation, perform
from meltemi.protocols.naming import stat_prefix
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.kafka import KafkaCluster, kafka_runtime
from meltemi.testing.kafka_clients import SteadyProducer, brokers, create_topic, read_topic
from meltemi.testing.load import Load
from meltemi.testing.ports import Address, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path

    from meltemi.demo.claims import Claim
    from meltemi.demo.rig import Rig
    from meltemi.demo.show import Show
    from meltemi.demo.traffic import Crowd

HOST: Final = "kafka.example"
SERVICES: Final = {HOST: 19092, f"broker-1.{HOST}": 19093, f"broker-2.{HOST}": 19094}
"""What examples/kafka serves: host and port as clients would call them."""

MOVES: Final = 2
TOPIC: Final = "demo"
ASKS: Final = 5
"""Questions to the broker that make a share."""
RECORDS: Final = 200
"""How many are written before, and after, the move."""
PATIENCE_S: Final = 60.0


def kafka_at_hand(say: Callable[[str], None]) -> bool:
    """Whether Kafka can run here; fetched if need be. ``say`` hears what is fetched, or why not."""
    try:
        kafka_runtime(progress=say)
    except UnavailableError as error:
        say(f"Kafka is left out: {error}")
        return False
    return True


@dataclass(frozen=True, slots=True)
class Brokers:
    """The brokers, and the start of them, which takes its time. They advertise Envoy's listeners.

    ``moved_to`` is the port to which one of them will move.
    """

    cluster: KafkaCluster
    started: asyncio.Task[KafkaCluster]
    moved_to: int

    def ports(self, entrances: Mapping[str, Address]) -> dict[int, int]:
        """What stands in the example, and what is so here."""
        listening = {9192: self.cluster.listener(1).port, 9292: self.cluster.listener(2).port}
        return listening | {SERVICES[host]: at.port for host, at in _told(entrances).items()}


def _told(entrances: Mapping[str, Address]) -> dict[str, Address]:
    """Where Envoy listens for each single broker."""
    return {host: at for host, at in entrances.items() if host in SERVICES and host != HOST}


@asynccontextmanager
async def starting(folder: Path, entrances: Mapping[str, Address]) -> AsyncGenerator[Brokers]:
    """The brokers, of which nobody waits for the start here."""
    await asyncio.to_thread(folder.mkdir)
    advertised = dict(enumerate(_told(entrances).values(), 1))
    cluster = KafkaCluster(advertised, folder=folder)
    started = asyncio.create_task(cluster.__aenter__())
    try:
        yield Brokers(cluster, started, free_port())
    finally:
        started.cancel()
        await asyncio.wait({started})
        if not started.cancelled() and started.exception() is None:
            await cluster.__aexit__(None, None, None)


class Reached:
    """A gauge for a broker: is it there, behind its listener? Whoever answers says so."""

    def __init__(self, entrance: Address) -> None:
        self._entrance = entrance

    async def share(self) -> float:
        """Of some questions, the part that is answered."""
        return sum([await self._answers() for _ in range(ASKS)]) / ASKS

    async def changed(self, towards: str) -> float:
        """Wait for the first answer."""
        while not await self._answers():
            heed_cancellation()
            await asyncio.sleep(0.01)
        return Load.now()

    async def _answers(self) -> bool:
        try:
            return bool(await brokers(self._entrance))
        except ConnectionError:
            return False


async def play(show: Show, kafka: Brokers, up: Rig, calls: Crowd) -> list[Claim]:
    """Move a broker while a producer writes: what is claimed of that."""
    async with asyncio.timeout(PATIENCE_S):
        cluster, at = await kafka.started, up.entrances[HOST]
        step = move(cluster.listener(MOVES).port, kafka.moved_to)
        await create_topic(at, TOPIC)
        show.begin(step)
        async with SteadyProducer(at, TOPIC) as producer:
            await producer.more(RECORDS)
            await cluster.restart(MOVES, port=kafka.moved_to)
            gauge = Reached(up.entrances[f"broker-{MOVES}.{HOST}"])
            observed = await perform(step, gauge, up, calls)
            await producer.more(RECORDS)
        delivery = producer.delivery(await read_topic(at, TOPIC))
    claim = step_claim(step, replace(observed, failed=observed.failed + delivery.failed))
    show.done(step, observed, held=claim.held)
    return [
        claim,
        records_claim(len(delivery.acknowledged), len(delivery.lost), delivery.failed),
        passage_claim(await _passed(up), len(cluster.direct_connections())),
    ]


async def _passed(up: Rig) -> list[int]:
    """The connections that Envoy counts on each of Kafka's listeners."""
    stats = await up.envoy.stats("tcp.")
    prefixes = (stat_prefix(host, port) for host, port in SERVICES.items())
    return [stats[f"tcp.{prefix}.downstream_cx_total"] for prefix in prefixes]
