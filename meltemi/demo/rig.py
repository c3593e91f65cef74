"""What the demo needs running: backends, Meltemi on the rules of the examples, a real Envoy."""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meltemi.controller.bootstrap import Wish, bootstrap
from meltemi.demo import brokers
from meltemi.demo.backends import Backends, backends
from meltemi.testing.envoy import Envoy
from meltemi.testing.kafka import UPSTREAM_BIND
from meltemi.testing.ports import LOOPBACK, Address, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from meltemi.controller.proto_json import Json
    from meltemi.demo.rules import Rules, Serving
    from meltemi.testing.control_plane import MeltemiProcess

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
FOLDERS: Final = ("dubbo", "thrift", "redis")

LOG_LINES, LOG_WIDTH = 12, 240

SERVICES: Final = {
    "orders.example": 20880,
    "catalog.example": 9090,
    "sessions.example": 6379,
    "sessions-next.example": 6380,
}
"""What the examples serve but for Kafka: host and port as clients would call them."""


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything is up, but for Kafka, which may be starting or not be there at all.

    ``entrances``: where Envoy listens for a host.
    """

    rules: Rules
    backends: Backends
    envoy: Envoy
    entrances: Mapping[str, Address]
    kafka: brokers.Brokers | None = None

    @property
    def meltemi(self) -> MeltemiProcess:
        """The control plane that serves the rules."""
        return self.rules.meltemi

    def log_tails(self) -> str:
        """How the logs of Meltemi and of Envoy end."""
        ends: list[str] = []
        for process in (self.meltemi.process, self.envoy.process):
            lines = process.log_tail(LOG_LINES).splitlines()
            ends += [
                f"{process.name}'s log ends with:",
                *(f"  {line[:LOG_WIDTH]}" for line in lines),
            ]
        return "\n".join(ends)


@asynccontextmanager
async def rig(
    say: Callable[[str], None], serving: Serving, *, with_kafka: bool
) -> AsyncGenerator[Rig]:
    """Start it; everything has ended and nothing is left when the context ends.

    ``say`` gets a sentence for each thing that starts. Raises ServerProcessError, OSError and what
    ``serving`` raises.
    """
    async with AsyncExitStack() as up:
        folder = Path(up.enter_context(tempfile.TemporaryDirectory(prefix="meltemi-demo-")))
        entrances = _entrances()
        kafka = None
        if with_kafka:
            say("Starting two brokers of a Kafka beside everything else")
            kafka = await up.enter_async_context(brokers.starting(folder / "kafka", entrances))
        say("Starting two versions of a Dubbo, a Thrift and a Redis service")
        servers = await up.enter_async_context(backends())
        files = folder / "rules"
        ports = {**servers.ports, **(kafka.ports(entrances) if kafka else {})}
        copy_examples(EXAMPLES, files, ports, (*FOLDERS, "kafka") if kafka else FOLDERS)
        rules = await up.enter_async_context(serving(files, say))
        say("Starting Envoy, which gets everything else from Meltemi over xDS")
        document = _bootstrap(rules, entrances)
        envoy = await up.enter_async_context(Envoy(document, folder=folder))
        await envoy.wait_ready()
        yield Rig(rules, servers, envoy, entrances, kafka)


def copy_examples(
    examples: Path, target: Path, ports: Mapping[int, int], folders: Iterable[str] = FOLDERS
) -> None:
    """The files of the demo's protocols, with each port in ``ports`` replaced by its value."""
    for folder in folders:
        shutil.copytree(examples / folder, target / folder)
    expected = re.compile(rf"\b({'|'.join(map(str, ports))})\b")
    for file in target.rglob("*.yaml"):
        file.write_text(expected.sub(lambda port: str(ports[int(port[0])]), file.read_text()))


def _entrances() -> dict[str, Address]:
    hosts = (*SERVICES, *brokers.SERVICES)
    return {
        host: Address(LOOPBACK, port)
        for host, port in zip(hosts, free_ports(len(hosts)), strict=True)
    }


def _bootstrap(rules: Rules, entrances: Mapping[str, Address]) -> dict[str, Any]:
    """The rules keep the ports that clients know; this proxy says where it really listens, and goes
    to servers from an address of its own, by which Kafka's brokers tell it from others.
    """
    numbers = {**SERVICES, **brokers.SERVICES}
    ports = {f"{host}:{numbers[host]}": address.port for host, address in entrances.items()}
    metadata: dict[str, Json] = {"namespace": rules.namespace, "ports": dict(ports)}
    wish = Wish(rules.meltemi.xds.host, rules.meltemi.xds.port, id="demo", metadata=metadata)
    cluster_manager = {"upstream_bind_config": UPSTREAM_BIND}
    return {**bootstrap(wish).document, "cluster_manager": cluster_manager}
