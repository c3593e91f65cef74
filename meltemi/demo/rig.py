"""What the demo needs running: backends, Meltemi on a copy of the examples, a real Envoy."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meltemi.controller.bootstrap import Wish, bootstrap
from meltemi.demo.backends import Backends, backends
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.envoy import Envoy
from meltemi.testing.ports import LOOPBACK, Address, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from meltemi.demo.story import Edit

EXAMPLES: Final = Path(__file__).parents[1] / "examples"
FOLDERS: Final = ("dubbo", "thrift", "redis")

LOG_LINES, LOG_WIDTH = 12, 240

SERVICES: Final = {
    "orders.example": 20880,
    "catalog.example": 9090,
    "sessions.example": 6379,
    "sessions-next.example": 6380,
}
"""What the examples serve: host and port as clients would call them."""


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything is up. ``entrances``: where Envoy listens for a host."""

    rules: Path
    backends: Backends
    meltemi: MeltemiProcess
    envoy: Envoy
    entrances: Mapping[str, Address]

    def save(self, edit: Edit) -> None:
        """Save an edited file as an editor does: complete, by a rename."""
        target = self.rules / edit.file
        draft = target.with_name(f".{target.name}.new")
        draft.write_text(edit.apply(target.read_text()))
        draft.replace(target)

    async def findings(self) -> list[dict[str, Any]]:
        """What the control plane has to say about the rules now."""
        findings: list[dict[str, Any]] = json.loads((await self.meltemi.get("/findings")).body)
        return findings

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

    def place(self, finding: Mapping[str, Any]) -> str:
        """``file:line`` of a finding, as seen from the folder of the rules."""
        file = Path(finding["file"])
        seen = file.relative_to(self.rules) if file.is_relative_to(self.rules) else file
        return f"{seen}:{finding['line']}"


@asynccontextmanager
async def rig(say: Callable[[str], None]) -> AsyncGenerator[Rig]:
    """Start it; everything has ended and nothing is left when the context ends.

    ``say`` gets a sentence for each thing that starts. Raises ServerProcessError and OSError.
    """
    with tempfile.TemporaryDirectory(prefix="meltemi-demo-") as scratch:
        folder = Path(scratch)
        say("Starting two versions of a Dubbo, a Thrift and a Redis service")
        async with backends() as servers:
            rules = folder / "rules"
            copy_examples(EXAMPLES, rules, servers.ports)
            say(f"Starting Meltemi on a copy of the examples: {rules}")
            async with MeltemiProcess(rules, folder=folder) as meltemi:
                say("Starting Envoy, which gets everything else from Meltemi over xDS")
                entrances = _entrances()
                document = _bootstrap(meltemi.xds, entrances)
                async with Envoy(document, folder=folder) as envoy:
                    await envoy.wait_ready()
                    yield Rig(rules, servers, meltemi, envoy, entrances)


def copy_examples(examples: Path, target: Path, ports: Mapping[int, int]) -> None:
    """The files of the demo's protocols, with each port in ``ports`` replaced by its value."""
    for folder in FOLDERS:
        shutil.copytree(examples / folder, target / folder)
    expected = re.compile(rf"\b({'|'.join(map(str, ports))})\b")
    for file in target.rglob("*.yaml"):
        file.write_text(expected.sub(lambda port: str(ports[int(port[0])]), file.read_text()))


def _entrances() -> dict[str, Address]:
    ports = free_ports(len(SERVICES))
    return {host: Address(LOOPBACK, port) for host, port in zip(SERVICES, ports, strict=True)}


def _bootstrap(xds: Address, entrances: Mapping[str, Address]) -> dict[str, Any]:
    """The rules keep the ports that clients know; this proxy says where it really listens."""
    ports = {f"{host}:{SERVICES[host]}": address.port for host, address in entrances.items()}
    wish = Wish(xds.host, xds.port, id="demo", metadata={"ports": dict(ports)})
    return bootstrap(wish).document
