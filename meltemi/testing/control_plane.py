"""Meltemi itself as a child process, as an operator starts it: ``meltemi serve PATH``."""

from __future__ import annotations

import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from meltemi.testing import admin_page
from meltemi.testing.ports import LOOPBACK, Address, free_ports
from meltemi.testing.process import ServerProcess, ServerProcessError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READY_S = 30.0


class MeltemiProcess:
    """``async with MeltemiProcess(rules) as meltemi``: ready at entry (``/readyz``), ended at exit.

    ``rules`` is the file or folder that it watches, None where ``extra_args`` say what to serve.
    ``xds`` and ``admin`` are free loopback ports
    that stay the same over ``restart``. ``folder`` keeps the log (``meltemi.log``). ``program``:
    what Python is told to run. ``host``: on another loopback address than the usual one nobody's
    outgoing connection can take its ports while it is down. ``environment`` comes before our own.
    """

    def __init__(
        self,
        rules: Path | None,
        *,
        extra_args: Sequence[str] = (),
        folder: Path | None = None,
        program: Sequence[str] = ("-m", "meltemi"),
        host: str = LOOPBACK,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        xds, admin = free_ports(2)
        self.xds = Address(host, xds)
        self.admin = Address(host, admin)
        self._rules = rules
        self._args = tuple(extra_args)
        self._folder = folder
        self._program = tuple(program)
        self._environment = environment
        self._open = AsyncExitStack()
        self._log = Path()
        self._process: ServerProcess | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            folder = self._folder or Path(
                opening.enter_context(tempfile.TemporaryDirectory(prefix="meltemi-serve-"))
            )
            self._log = folder / "meltemi.log"
            opening.push_async_callback(self._stop_latest)
            await self.start()
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def start(self) -> None:
        """Start, also again after ``kill`` or ``terminate``, and wait until it is ready.

        Raises ServerProcessError with the end of the log.
        """
        argv: list[str | Path] = [sys.executable, *self._program, "serve"]
        argv += [] if self._rules is None else [self._rules]
        argv += ["--xds", str(self.xds), "--admin", str(self.admin), *self._args]
        self._process = await ServerProcess.start("Meltemi", argv, self._log, self._environment)
        await self._process.wait_until(self.ready, "become ready", READY_S)

    async def restart(self) -> None:
        """``terminate``, then ``start`` on the same ports."""
        await self.terminate()
        await self.start()

    async def terminate(self) -> int:
        """SIGTERM, as an orderly end. Returns the exit code."""
        return await self.process.stop()

    async def kill(self) -> None:
        """SIGKILL, as a crash would."""
        await self.process.kill()

    async def _stop_latest(self) -> None:
        if self._process is not None:
            await self._process.stop()

    @property
    def process(self) -> ServerProcess:
        """The current process: ``pid``, ``returncode``, ``log_tail``."""
        if self._process is None:
            raise ServerProcessError("this Meltemi was not started: use `async with`")
        return self._process

    async def ready(self) -> bool:
        """Whether ``/readyz`` says so. Raises OSError when nobody listens."""
        return (await self.get("/readyz")).status == 200

    async def get(self, path: str) -> admin_page.Page:
        """A page of the admin port. Raises OSError when nobody listens."""
        return await admin_page.get(self.admin, path)
