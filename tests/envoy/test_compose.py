"""What docker/compose.yaml runs, as processes on free ports instead of containers."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from meltemi.testing.envoy_binary import ENVOY_VERSION, envoy_binary
from meltemi.testing.evidence import record
from meltemi.testing.ports import LOOPBACK, free_ports
from meltemi.testing.process import ServerProcess
from meltemi.testing.valkey import valkey_binary
from tests.envoy.rig import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.envoy

DOCKER = Path(__file__).parents[2] / "docker"
PORTS = (18000, 18080, 9901, 20880, 20881, 20882, 9090, 9091, 9092, 6379, 6380, 6381, 6382)
NOT_HERE = {"valkey-cli"}
"""Programs of the images that no package brings."""


@dataclass(frozen=True, slots=True)
class Containers:
    """The services of compose.yaml, whose files are copied below ``root`` with other ports."""

    root: Path
    ports: dict[str, str]
    services: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, root: Path) -> Containers:
        numbers = map(str, free_ports(len(PORTS)))
        ports = dict(zip(map(str, PORTS), numbers, strict=True))
        made = cls(root, ports, {})
        compose = yaml.safe_load(made.moved((DOCKER / "compose.yaml").read_text()))
        made.services.update(compose["services"])
        for service in made.services.values():
            for volume in service.get("volumes", ()):
                made._mount(*volume.split(":"))
        return made

    def moved(self, text: str) -> str:
        """The text with other ports, on loopback only."""
        known = re.compile(rf"\b({'|'.join(self.ports)})\b")
        return known.sub(lambda port: self.ports[port[0]], text.replace("0.0.0.0", LOOPBACK))

    def _mount(self, source: str, target: str, mode: str) -> None:
        assert mode == "ro"
        at = self.root / target.lstrip("/")
        at.parent.mkdir(exist_ok=True)
        if (DOCKER / source).is_dir():
            shutil.copytree(DOCKER / source, at)
        else:
            shutil.copy(DOCKER / source, at)
        for file in at.rglob("*.yaml") if at.is_dir() else [at]:
            file.write_text(self.moved(file.read_text()))

    def order(self) -> list[str]:
        """Each after those that it depends on."""
        graph = {name: set(each.get("depends_on", ())) for name, each in self.services.items()}
        return [*TopologicalSorter(graph).static_order()]

    def command(self, name: str) -> list[str]:
        """What the container runs."""
        service = self.services[name]
        image = ["meltemi"] if service["image"] == "meltemi-demo" else []
        return self.here([*service.get("entrypoint", image), *service["command"]])

    def check(self, name: str) -> list[str]:
        """What tells whether the container is healthy; nothing where that program is not here."""
        kind, *check = self.services[name].get("healthcheck", {}).get("test", ["NONE"])
        assert kind in {"CMD", "NONE"}
        return [] if NOT_HERE & {*check} else self.here(check)

    def here(self, argv: list[str]) -> list[str]:
        """The command, with this machine's programs and files."""
        if not argv:
            return []
        programs = {
            "meltemi": [sys.executable, "-m", "meltemi"],
            "python": [sys.executable],
            "envoy": [str(envoy_binary())],
            "valkey-server": [str(valkey_binary())],
        }
        program, *rest = argv
        files = [f"{self.root}{each}" if each.startswith("/") else each for each in rest]
        return [*programs.get(program, [program]), *files]


async def succeeds(argv: list[str]) -> bool:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*argv, stdout=quiet, stderr=quiet)
    return await process.wait() == 0


@asynccontextmanager
async def up(containers: Containers) -> AsyncGenerator[ServerProcess]:
    """All of them, each healthy before the next starts; gives the last, which is ``calls``."""
    async with AsyncExitStack() as running:
        process = None
        for name in containers.order():
            check = containers.check(name)
            if check:
                assert not await succeeds(check), f"{name} is healthy before it runs"
            log = containers.root / f"{name}.log"
            starting = ServerProcess.start(name, containers.command(name), log)
            process = await running.enter_async_context(await starting)
            if check:
                await process.wait_until(partial(succeeds, check), "be healthy", PATIENCE_S)
        assert process is not None
        assert process.name == "calls"
        record(f"Envoy {ENVOY_VERSION}")
        yield process


def share(calls: ServerProcess, kind: str) -> int:
    """Of version 2 in the latest line, in percent; none while calls fail."""
    *_, last = calls.log.read_text().splitlines() or [""]
    found = re.search(rf"{kind} (\d+)%.*failed calls: 0$", last)
    return int(found[1]) if found else -1


async def test_everything_becomes_healthy_and_a_saved_rule_moves_the_calls(tmp_path: Path) -> None:
    containers = Containers.of(tmp_path)
    async with asyncio.timeout(4 * PATIENCE_S), up(containers) as calls:

        async def as_written() -> bool:
            found = [share(calls, kind) for kind in ("orders", "catalog", "carts")]
            return found == pytest.approx([20, 20, 0], abs=2)

        async def as_saved() -> bool:
            return share(calls, "orders") == pytest.approx(90, abs=2)

        await calls.wait_until(as_written, "be answered as the examples say", PATIENCE_S)
        rules = tmp_path / "rules/dubbo/routes.yaml"
        text = rules.read_text().replace("weight: 80", "weight: 10")
        rules.write_text(text.replace("weight: 20", "weight: 90"))
        await calls.wait_until(as_saved, "be answered by version 2", PATIENCE_S)
