"""Kafka clients that account for every record: a steady producer, readers, groups, transactions.

Needs the extra ``meltemi[demo]``. A record is a number; a topic belongs to one test. All of them
find the brokers as applications do: from a bootstrap address through the metadata that it answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from meltemi.testing.ports import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from aiokafka import ConsumerRecord, RecordMetadata, TopicPartition

POLL_MS = 100
METADATA_TIMEOUT_MS = 5_000
_unheard = logging.NullHandler()


def be_quiet() -> None:
    """Keep the client library's log off the terminal where no logging is set up.

    It tells of every failed attempt, and tests make brokers fail. Handlers that somebody has set
    up still get everything.
    """
    logging.getLogger("aiokafka").addHandler(_unheard)


class KafkaRefusedError(RuntimeError):
    """A broker, or the client library for it, answered with an error; the text is its text."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the records that a producer wrote."""

    acknowledged: frozenset[int]
    read: tuple[int, ...]
    """In the order in which a reader saw them; of one partition only that is the order written."""
    failed: int = 0
    """How many were given up by the producer; they may be in the topic nevertheless."""

    @property
    def lost(self) -> frozenset[int]:
        """Acknowledged, and not there."""
        return self.acknowledged - set(self.read)

    @property
    def duplicated(self) -> frozenset[int]:
        """There more than once."""
        return frozenset(number for number, times in Counter(self.read).items() if times > 1)


async def brokers(bootstrap: Address) -> dict[int, Address]:
    """Where clients are sent: broker id → address, as the metadata at ``bootstrap`` says it.

    Raises ConnectionError when nobody answers.
    """
    client = AIOKafkaClient(
        bootstrap_servers=str(bootstrap), request_timeout_ms=METADATA_TIMEOUT_MS
    )
    try:
        await client.bootstrap()
        return {each.nodeId: Address(each.host, each.port) for each in client.cluster.brokers()}
    except KafkaError as error:
        raise ConnectionError(f"no Kafka metadata from {bootstrap}: {error}") from error
    finally:
        await client.close()


async def create_topic(
    bootstrap: Address, topic: str, *, partitions: int = 4, replicas: int = 2
) -> None:
    """Create it. Raises KafkaRefusedError, also when it exists."""
    admin = AIOKafkaAdminClient(bootstrap_servers=str(bootstrap))
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(topic, partitions, replicas)])
    finally:
        await admin.close()
    for name, code, message in answer.topic_errors:
        if code:
            raise KafkaRefusedError(f"{name}: {for_code(code).__name__}: {message}")


class SteadyProducer:
    """``async with SteadyProducer(bootstrap, topic) as producer``: writes 0, 1, 2, ... until exit.

    Idempotent and with acks=all: a record counts as acknowledged when every replica in sync has
    it. ``rate``: records per second, sent without waiting for the ones before. At exit everything
    sent is either acknowledged or has failed.
    """

    def __init__(self, bootstrap: Address, topic: str, *, rate: float = 200.0) -> None:
        self.acknowledged: set[int] = set()
        self.errors: Counter[str] = Counter()
        self._bootstrap = bootstrap
        self._topic = topic
        self._interval = 1 / rate
        self._ended = asyncio.Event()
        self._settled = asyncio.Condition()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            producer = AIOKafkaProducer(
                bootstrap_servers=str(self._bootstrap), acks="all", enable_idempotence=True
            )
            await producer.start()
            opening.push_async_callback(producer.stop)
            group = await opening.enter_async_context(asyncio.TaskGroup())
            opening.callback(self._ended.set)
            group.create_task(self._produce(producer, group))
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def more(self, count: int) -> None:
        """Wait until ``count`` further records are acknowledged. The caller sets the timeout."""
        goal = len(self.acknowledged) + count
        async with self._settled:
            await self._settled.wait_for(lambda: len(self.acknowledged) >= goal)

    def delivery(self, read: Iterable[int]) -> Delivery:
        """What became of the records, given what a reader ``read``."""
        return Delivery(frozenset(self.acknowledged), tuple(read), self.errors.total())

    async def _produce(self, producer: AIOKafkaProducer, group: asyncio.TaskGroup) -> None:
        number = 0
        while not self._ended.is_set():
            sent = await producer.send(self._topic, b"%d" % number)
            group.create_task(self._settle(number, sent))
            number += 1
            await asyncio.sleep(self._interval)

    async def _settle(self, number: int, sent: asyncio.Future[RecordMetadata]) -> None:
        try:
            await sent
        except KafkaError as error:
            self.errors[repr(error)] += 1
        else:
            self.acknowledged.add(number)
        async with self._settled:
            self._settled.notify_all()


async def read_topic(
    bootstrap: Address, topic: str, *, committed_only: bool = False
) -> tuple[int, ...]:
    """Every record from the beginning of a topic to its present end, without a group.

    ``committed_only`` leaves out records of transactions that were aborted or are still open.
    """
    async with _consumer(bootstrap, topic, committed_only=committed_only) as consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        read: list[int] = []
        for partition, end in ends.items():
            # Offsets have gaps where transactions ended: counting records would not do.
            while await consumer.position(partition) < end:
                read += [_number(each) for each in await _next(consumer, partition)]
        return tuple(read)


@dataclass(frozen=True, slots=True)
class Read:
    """A record as a member of a group read it. Members count from 0."""

    member: int
    partition: int
    number: int


class ConsumerGroup:
    """``async with ConsumerGroup(bootstrap, topic, group) as group``: the members read until exit.

    They read from the beginning and commit as they go. ``reads`` has everything so far.
    """

    def __init__(self, bootstrap: Address, topic: str, group: str, *, members: int = 2) -> None:
        self.reads: list[Read] = []
        self._bootstrap = bootstrap
        self._topic = topic
        self._group = group
        self._members = members
        self._progress = asyncio.Condition()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            group = await opening.enter_async_context(asyncio.TaskGroup())
            for member in range(self._members):
                reading = group.create_task(self._read(member))
                opening.callback(reading.cancel)
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def until(self, holds: Callable[[Sequence[Read]], bool]) -> None:
        """Wait until it holds for everything read so far. The caller sets the timeout."""
        async with self._progress:
            await self._progress.wait_for(lambda: holds(self.reads))

    async def until_read(self, numbers: Collection[int]) -> None:
        """Wait until each of these was read by a member. The caller sets the timeout."""
        wanted = frozenset(numbers)
        await self.until(lambda reads: wanted <= {each.number for each in reads})

    async def _read(self, member: int) -> None:
        async with _consumer(self._bootstrap, self._topic, group=self._group) as consumer:
            while True:
                records = await _next(consumer)
                self.reads += [Read(member, each.partition, _number(each)) for each in records]
                async with self._progress:
                    self._progress.notify_all()


async def write_in_transaction(
    bootstrap: Address,
    topic: str,
    numbers: Iterable[int],
    *,
    transactional_id: str,
    commit: bool = True,
) -> None:
    """Write them all in one transaction; ``commit=False`` writes them as well and then aborts."""
    producer = AIOKafkaProducer(bootstrap_servers=str(bootstrap), transactional_id=transactional_id)
    async with producer:
        await producer.begin_transaction()
        for number in numbers:
            await producer.send_and_wait(topic, b"%d" % number)
        await (producer.commit_transaction() if commit else producer.abort_transaction())


def _consumer(
    bootstrap: Address, topic: str, *, group: str | None = None, committed_only: bool = False
) -> AIOKafkaConsumer:
    """From the beginning of all partitions, or of those that the group gives to it."""
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=str(bootstrap),
        group_id=group,
        auto_offset_reset="earliest",
        isolation_level="read_committed" if committed_only else "read_uncommitted",
    )


async def _next(
    consumer: AIOKafkaConsumer, *partitions: TopicPartition
) -> tuple[ConsumerRecord, ...]:
    batches = await consumer.getmany(*partitions, timeout_ms=POLL_MS)
    return tuple(record for records in batches.values() for record in records)


def _number(record: ConsumerRecord) -> int:
    return int(record.value or b"")
