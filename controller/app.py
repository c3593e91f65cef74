"""The process: settings, signals and exit codes around a control plane."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import disable_created_metrics

from meltemi.controller import collector, logs, settings
from meltemi.controller.admin.server import serve_admin
from meltemi.controller.descriptors import RESERVE, room_for
from meltemi.controller.health.ports import Port
from meltemi.controller.kube.replica import Replica
from meltemi.controller.kube.token_reviews import token_reviews
from meltemi.controller.manifests.wish import NAME, Wish
from meltemi.controller.plane import ControlPlane
from meltemi.controller.sources import SourceError
from meltemi.controller.sources.files import FilesSource
from meltemi.controller.webhook.settings import REVIEWERS
from meltemi.protocols.registry import PluginError, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from kubernetes.aio.client import Configuration

    from meltemi.controller.health.ports import PortName
    from meltemi.controller.health.replica import ReplicaHealth
    from meltemi.controller.identity import Security, Verify
    from meltemi.controller.sources.kube import KubeSource
    from meltemi.protocols.registry import Registry

log: Any = structlog.get_logger("meltemi")

FINE, ERRORS, USAGE, UNREACHABLE = 0, 1, 2, 3
"""Exit codes, the same for every command."""


def serve(
    source: FilesSource | KubeSource,
    *,
    xds: tuple[str, int],
    admin: tuple[str, int],
    given: Mapping[str, str] = MappingProxyType({}),
    connect: Callable[[], Awaitable[Configuration]] | None = None,
    webhook: tuple[str, int] | None = None,
) -> int:
    """Serve what a source says until SIGTERM or SIGINT; gives the exit code. ``given``: settings
    that come before those of the environment, by the same names. ``connect``: to the cluster that
    this is a replica of Meltemi in, whose API server reaches it at ``webhook``.
    """
    try:
        configured = settings.read(given=given)
        new_loop = _event_loop(configured.event_loop)
        registry = load()
    except (settings.ConfigError, PluginError) as error:
        return _fail(USAGE, str(error))
    logs.set_up(configured.log_format)
    configured = _within_descriptors(configured, REVIEWERS if webhook else 0)
    # Else each counter has a second series, which nobody asks for.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    plane = ControlPlane(registry, source, configured)
    replica = None if connect is None else _replica(connect, configured, source)
    admission: AbstractAsyncContextManager[None] = nullcontext()
    if connect is not None and webhook is not None:
        admission = _admission(connect, plane, registry, configured, webhook)
    collector.seldom()
    try:
        if isinstance(source, FilesSource):
            source.require()
        with asyncio.Runner(loop_factory=new_loop) as runner:
            reviews = _reviews(configured.security, connect, plane)
            health = _health(plane, source, configured, connect, {"xds": xds, "webhook": webhook})
            served = serve_admin(plane, *admin, configured.admin, health)
            runner.run(_run(plane, replica, reviews, admission, xds, served))
    except BaseExceptionGroup as group:
        return _failed(_first(group))
    except (SourceError, ValueError, OSError) as error:
        return _failed(error)
    except asyncio.CancelledError:
        return FINE  # told twice to end
    return FINE


def _replica(
    connect: Callable[[], Awaitable[Configuration]],
    configured: settings.Settings,
    source: FilesSource | KubeSource,
) -> Replica:
    written = None if isinstance(source, FilesSource) else source.written
    return Replica(connect, configured.instance, written if configured.write_status else None)


def _event_loop(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """How to make one; None is Python's own. Raises ConfigError when it is not installed."""
    if name == "asyncio":
        return None
    try:
        from uvloop import new_event_loop
    except ModuleNotFoundError as error:
        raise settings.ConfigError(
            "MELTEMI_EVENT_LOOP is 'uvloop', which is not installed: pip install 'meltemi[uvloop]'"
        ) from error
    return new_event_loop


def _within_descriptors(configured: settings.Settings, others: int) -> settings.Settings:
    """With no more streams than the process may have connections beside those of ``others``."""
    limits = configured.tuning.limits
    room = room_for(limits.streams, RESERVE + others)
    if room < limits.streams:
        log.warning(
            "limit.lowered",
            streams=room,
            wanted=limits.streams,
            next_step="let the process open more files (ulimit -n), or set MELTEMI_MAX_STREAMS",
        )
    tuned = replace(configured.tuning, limits=replace(limits, streams=room))
    return replace(configured, tuning=tuned)


def _reviews(
    security: Security,
    connect: Callable[[], Awaitable[Configuration]] | None,
    plane: ControlPlane,
) -> AbstractAsyncContextManager[Verify | None]:
    """What verifies tokens, if any are wanted. Raises ValueError where nobody can."""
    if security.tokens is None:
        return nullcontext()
    if connect is None:
        raise ValueError(
            "--token-xds (MELTEMI_TOKEN_XDS) goes with --kube: only a cluster's API server can "
            "tell whose a token is"
        )
    checked = plane.metrics.token_checked
    return token_reviews(connect, security.tokens.audience, security.trust_domain, checked)


def _admission(
    connect: Callable[[], Awaitable[Configuration]],
    plane: ControlPlane,
    registry: Registry,
    configured: settings.Settings,
    address: tuple[str, int],
) -> AbstractAsyncContextManager[None]:
    """The webhook. Its libraries are for those who want one."""
    from meltemi.controller.webhook.service import serving_webhook

    return serving_webhook(connect, plane, registry, configured, *address)


def _health(
    plane: ControlPlane,
    source: FilesSource | KubeSource,
    configured: settings.Settings,
    connect: Callable[[], Awaitable[Configuration]] | None,
    addresses: Mapping[PortName, tuple[str, int] | None],
) -> Callable[[], ReplicaHealth]:
    """What this process says of its own health. Raises ValueError for a namespace that is none."""
    tokens, wish = configured.security.tokens, None
    if connect is not None:
        wish = Wish(
            image=NAME,
            namespace=configured.instance.namespace,
            watched=() if isinstance(source, FilesSource) else source.namespaces,
            webhook=addresses.get("webhook") is not None,
            tokens=tokens is not None,
        )
    ports = [
        Port(name, *address, tls=name == "webhook" or configured.security.tls is not None)
        for name, address in addresses.items()
        if address is not None
    ]
    if tokens is not None:
        host, _, port = tokens.address.rpartition(":")
        ports.append(Port("token-xds", host.strip("[]"), int(port), tls=True))

    @cache
    def health() -> ReplicaHealth:
        # Its libraries take 10 MB, and many never ask.
        from meltemi.controller.health.replica import ReplicaHealth

        return ReplicaHealth(plane, source, configured, ports, connect, wish)

    return health


async def _run(
    plane: ControlPlane,
    replica: Replica | None,
    reviews: AbstractAsyncContextManager[Verify | None],
    admission: AbstractAsyncContextManager[None],
    xds: tuple[str, int],
    admin: AbstractAsyncContextManager[int],
) -> None:
    stop = asyncio.Event()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"

    def told() -> None:
        """Once: see everybody off. Twice: whoever waits for that is out of patience."""
        if stop.is_set():
            task.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    host, port = xds
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    duties = nullcontext() if replica is None else replica.running(plane)
    async with (
        admin,
        reviews as verify,
        admission,  # until the last stream has ended: others may not know yet that we leave
        plane.running(at, verify),
        duties,
    ):
        await stop.wait()


def _failed(error: BaseException) -> int:
    """A sentence for what a user can mend; everything else is ours and keeps its traceback."""
    if isinstance(error, SourceError | ValueError):
        return _fail(USAGE, str(error))
    if isinstance(error, OSError):
        return _fail(UNREACHABLE, str(error))
    raise error


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error  # pyright: ignore[reportUnknownArgumentType]


def _fail(code: int, text: str) -> int:
    sys.stderr.write(f"meltemi: {text}\n")
    return code
