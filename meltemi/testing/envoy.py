"""A real Envoy as a child process, with its admin interface at hand."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from meltemi.testing import admin_page
from meltemi.testing.envoy_binary import ENVOY_VERSION, envoy_binary
from meltemi.testing.evidence import record
from meltemi.testing.ports import LOOPBACK, Address
from meltemi.testing.process import ServerProcess, ServerProcessError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_S = 20.0
# Laid over the bootstrap by Envoy itself, so that a bootstrap text reaches Envoy unchanged.
_ADMIN_ON_LOOPBACK = json.dumps(
    {"admin": {"address": {"socket_address": {"address": LOOPBACK, "port_value": 0}}}}
)


class EnvoyAdminError(RuntimeError):
    """Envoy's admin interface refused what was asked."""


class Envoy:
    """``async with Envoy(bootstrap) as envoy``: its admin answers inside, it has ended after.

    ``bootstrap`` is a mapping or the text of a JSON or YAML document; its ``admin`` address is
    replaced by an ephemeral loopback port. Listeners may ask for port 0, see ``listeners``.
    ``drain_time_s``: how long old connections of a changed listener live (Envoy's default is 600).
    ``folder`` keeps bootstrap and log (``envoy.log``); without one they go at the end.
    The Envoy is not necessarily ready: that may need a control plane, see ``wait_ready``.

    Entering raises EnvoyUnavailableError or, when Envoy refuses the bootstrap, ServerProcessError
    with Envoy's own words.
    """

    def __init__(
        self,
        bootstrap: Mapping[str, Any] | str,
        *,
        version: str = ENVOY_VERSION,
        drain_time_s: int = 600,
        extra_args: Sequence[str] = (),
        folder: Path | None = None,
    ) -> None:
        self.version = version
        self._bootstrap = bootstrap
        self._args = ("--drain-time-s", str(drain_time_s), *extra_args)
        self._folder = folder
        self._open = AsyncExitStack()
        self._admin_file = Path()
        self._process: ServerProcess | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            folder = self._folder or Path(
                opening.enter_context(tempfile.TemporaryDirectory(prefix="meltemi-envoy-"))
            )
            self._admin_file = folder / "admin-address"
            self._admin_file.unlink(missing_ok=True)
            self._process = await opening.enter_async_context(await self._start(folder))
            await self._process.wait_until(self._answers, "open its admin port", START_S)
            self._open = opening.pop_all()
        record(f"Envoy {self.version}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _start(self, folder: Path) -> ServerProcess:
        binary = await asyncio.to_thread(envoy_binary, self.version)
        config = write_bootstrap(self._bootstrap, folder)
        argv: list[str | Path] = [
            binary,
            "--config-path",
            config,
            "--config-yaml",
            _ADMIN_ON_LOOPBACK,
        ]
        # One worker makes round robin exact; no hot restart, so that Envoys do not share memory.
        argv += ["--concurrency", "1", "--disable-hot-restart"]
        # The main component lists every extension at info: hundreds of lines.
        argv += ["--component-log-level", "main:warning"]
        argv += ["--admin-address-path", self._admin_file, *self._args]
        return await ServerProcess.start("Envoy", argv, folder / "envoy.log")

    async def _answers(self) -> bool:
        return bool((await admin_page.get(self.admin, "/ready")).status)

    @property
    def process(self) -> ServerProcess:
        """The process: ``pid``, ``kill``, ``stop``, ``log_tail``."""
        if self._process is None:
            raise ServerProcessError("this Envoy was not started: use `async with`")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    async def kill(self) -> None:
        """SIGKILL, as a crash would."""
        await self.process.kill()

    @property
    def admin(self) -> Address:
        """Where the admin interface listens. Raises FileNotFoundError until Envoy wrote it down."""
        host, _, port = self._admin_file.read_text().rpartition(":")
        if not port:
            raise FileNotFoundError(f"{self._admin_file} is not written yet")
        return Address(host, int(port))

    async def admin_get(self, path: str, **query: str) -> bytes:
        """The body of an admin page. Raises EnvoyAdminError when its status is not 200."""
        target = f"{path}?{urlencode(query)}" if query else path
        page = await admin_page.get(self.admin, target)
        if page.status != 200:
            raise EnvoyAdminError(f"{target}: status {page.status}, {page.body.decode()}")
        return page.body

    async def ready(self) -> bool:
        """Whether Envoy is initialised and serves (LIVE)."""
        return (await admin_page.get(self.admin, "/ready")).status == 200

    async def wait_ready(self, timeout_s: float = START_S) -> None:
        """Wait until ``ready``. Raises ServerProcessError with the end of the log."""
        await self.process.wait_until(self.ready, "become ready", timeout_s)

    async def stats(self, prefix: str = "") -> dict[str, int]:
        """Counters and gauges whose name begins with ``prefix``."""
        wanted = f"^{re.escape(prefix)}"
        body = await self.admin_get("/stats", format="json", filter=wanted)
        rows: list[dict[str, Any]] = json.loads(body)["stats"]
        return {row["name"]: row["value"] for row in rows if isinstance(row.get("value"), int)}

    async def listeners(self) -> dict[str, Address]:
        """Where each listener really listens, also those that asked for port 0."""
        answer = json.loads(await self.admin_get("/listeners", format="json"))
        statuses: list[dict[str, Any]] = answer.get("listener_statuses", [])
        sockets = {each["name"]: each["local_address"]["socket_address"] for each in statuses}
        return {name: Address(at["address"], at["port_value"]) for name, at in sockets.items()}

    async def config_dump(self, resource: str = "", mask: str = "") -> list[dict[str, Any]]:
        """What Envoy holds, as its ``/config_dump`` tells it; endpoints included.

        ``resource`` names a repeated field (``dynamic_active_clusters``) and then the list has one
        entry per resource; without it one entry per section. ``mask`` is a field mask.
        """
        asked = {"resource": resource, "mask": mask}
        query = {key: value for key, value in asked.items() if value}
        body = await self.admin_get("/config_dump", include_eds="", **query)
        sections: list[dict[str, Any]] = json.loads(body).get("configs", [])
        return sections


async def validate(
    bootstrap: Mapping[str, Any] | str, *, version: str = ENVOY_VERSION
) -> str | None:
    """What Envoy objects to in a bootstrap (``--mode validate``), or None if nothing.

    Ports are not bound and duplicate listener names are not noticed: those show only in a start.
    """
    binary = await asyncio.to_thread(envoy_binary, version)
    with tempfile.TemporaryDirectory(prefix="meltemi-validate-") as scratch:
        config, log = write_bootstrap(bootstrap, Path(scratch)), Path(scratch) / "validate.log"
        argv: list[str | Path] = [
            binary,
            "--mode",
            "validate",
            "--config-path",
            config,
            "--log-level",
            "error",
        ]
        run = await ServerProcess.start("Envoy", argv, log)
        record(f"Envoy {version}")
        return None if await run.wait() == 0 else objection(log.read_text(errors="replace"))


_REFUSAL = re.compile(r"error initializing configuration '[^']*': (?P<why>.*)", re.DOTALL)
# Envoy puts this mark and random spaces into texts, so that nobody matches on them.
_DEBUG_MARK = re.compile(r"goo\.gle/debug\w+")


def objection(log: str) -> str:
    """The error itself out of the log of ``--mode validate``: one line, without time and thread."""
    refusal = _REFUSAL.search(log)
    return " ".join(_DEBUG_MARK.sub("", refusal["why"] if refusal else log).split())


def write_bootstrap(bootstrap: Mapping[str, Any] | str, folder: Path) -> Path:
    """Write it where Envoy reads it. The name says YAML, which JSON is as well."""
    path = folder / "bootstrap.yaml"
    path.write_text(bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap))
    return path
