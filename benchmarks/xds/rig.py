"""A server and its proxies, each in a process of its own, and what is measured of them."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.usage import KIB
from benchmarks.xds.child import Child

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from benchmarks.xds.proxy import DialectName

PEERS = Path(__file__).parents[1] / "peers"
MIB = 1024 * KIB

ServerName = Literal["engine", "engine, uvloop", "product", "floor", "linear", "snapshot"]

PRODUCT_METADATA = '{"meltemi": {"namespace": "scope-%", "bind": "127.0.0.1", "rtds": true}}'


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured: so many ``streams`` of proxies of so many ``scopes``, in a ``dialect``,
    that want what ``world`` (a file) holds. ``tls``: a folder with
    certificates in ``server`` and ``client``.
    """

    world: Path
    streams: int
    dialect: DialectName = "sotw"
    scopes: int = 1
    tls: Path | None = None


@dataclass(slots=True)
class Measured:
    """Of one server. ``push``: CPU microseconds of the server for each push and its ACK, of every
    round; ``last`` and ``p99``: milliseconds until that client had it; ``bytes`` of a push.
    """

    push: list[float] = field(default_factory=list[float])
    last: list[float] = field(default_factory=list[float])
    p99: list[float] = field(default_factory=list[float])
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Storm:
    """All streams at once, up to the last ACK: CPU microseconds and bytes for each stream,
    milliseconds in all, MiB of the server at most. ``resources`` were sent to each.
    """

    cpu: float
    last: float
    peak: float
    bytes: float
    resources: float


class Rig:
    """A running server and the process with its proxies."""

    def __init__(self, server: Child, load: Child, setting: Setting) -> None:
        self.server = server
        self.load = load
        self._setting = setting

    def gather(self, at_once: int = 50) -> float:
        """The proxies come, some at a time: who reads gigabytes at once does not answer pings.
        Gives KiB for each of them afterwards.
        """
        before = self.server.memory()
        for first in range(0, self._setting.streams, at_once):
            streams = min(at_once, self._setting.streams - first)
            self.load.ask(do="connect", streams=streams)
        self.server.settle()
        return self._each(before)

    def connect(self) -> tuple[Storm, float]:
        """All proxies come for the first time; KiB for each of them afterwards."""
        before = self.server.memory()
        storm = self._storm(do="connect", streams=self._setting.streams)
        return storm, self._each(before)

    def reconnect(self) -> Storm:
        """All proxies come back at once with what they hold."""
        return self._storm(do="reconnect")

    def push(self, resource: Mapping[str, Any], into: Measured, heard_by: int | None = None) -> int:
        """Change something; gives the number of responses, which must be one for each proxy."""
        streams = self._setting.streams if heard_by is None else heard_by
        cpu, began = self.server.cpu(), monotonic()
        self.server.ask(resource=resource)
        found = self.load.ask(do="hear", responses=streams)
        self.server.settle()
        into.push.append((self.server.cpu() - cpu) / streams * 1e6)
        into.last.append((found["last"] - began) * 1e3)
        into.p99.append((found["p99"] - began) * 1e3)
        into.bytes = found["bytes"] // streams
        return int(found["responses"]) + self.overheard()

    def overheard(self) -> int:
        """How many responses nobody waited for."""
        return int(self.load.ask(do="nothing")["responses"])

    def _each(self, before: int) -> float:
        return (self.server.memory() - before) / KIB / self._setting.streams

    def _storm(self, **command: object) -> Storm:
        self.server.forget_peak()
        cpu, began = self.server.cpu(), monotonic()
        found = self.load.ask(**command)
        self.server.settle()
        rest = self.load.ask(do="nothing")
        streams = self._setting.streams
        return Storm(
            (self.server.cpu() - cpu) / streams * 1e6,
            (max(found.get("last", began), rest.get("last", began)) - began) * 1e3,
            self.server.memory("VmHWM") / MIB,
            (found["bytes"] + rest["bytes"]) / streams,
            (found["resources"] + rest["resources"]) / streams,
        )


@contextmanager
def rigs(servers: Sequence[ServerName], setting: Setting) -> Generator[dict[ServerName, Rig]]:
    """All of them at the same time, so that rounds can be interleaved; none is connected yet."""
    with ExitStack() as stack:
        yield {name: _rig(stack, name, setting) for name in servers}


def _rig(stack: ExitStack, name: ServerName, setting: Setting) -> Rig:
    server = stack.enter_context(_server(name, setting))
    arguments: list[str | Path] = ["--target", f"127.0.0.1:{server.hello['port']}"]
    arguments += ["--dialect", setting.dialect, "--scopes", str(setting.scopes)]
    if name == "product":
        arguments += ["--metadata", PRODUCT_METADATA, "--build", "envoy-1.40"]
    if setting.tls is not None:
        arguments += ["--tls", setting.tls / "client"]
    load = stack.enter_context(Child.python("benchmarks.xds.load", "--commanded", *arguments))
    return Rig(server, load, setting)


def _server(name: ServerName, setting: Setting) -> Child:
    arguments: list[str | Path] = ["--world", setting.world, "--scopes", str(setting.scopes)]
    if name in ("linear", "snapshot"):
        program = peers()
        assert program is not None
        return Child(
            [program, "-cache", name, *(str(each).removeprefix("-") for each in arguments)]
        )
    if setting.tls is not None:
        arguments += ["--tls", setting.tls / "server"]
    kind, _, loop = name.partition(", ")
    if loop:
        arguments.append("--uvloop")
    return Child.python("benchmarks.xds.serve", kind, *arguments)


@cache
def peers() -> Path | None:
    """The program with go-control-plane's caches; None where there is no Go or no module."""
    if (go := shutil.which("go")) is None:
        return None
    program = Path(__file__).parents[2] / ".venv" / "benchmark-peers"
    built = subprocess.run([go, "build", "-o", program, "."], cwd=PEERS, check=False)
    return program if built.returncode == 0 else None
