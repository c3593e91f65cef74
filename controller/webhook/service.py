"""The webhook of one replica: its server, its certificate, and what the API server knows of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog
from kubernetes.aio.config import ConfigException

from meltemi.controller.http_server import listening, quiet
from meltemi.controller.kube.api import Api
from meltemi.controller.sources import SourceError
from meltemi.controller.webhook.judge import Judge
from meltemi.controller.webhook.keeper import FilesOnDisk, SharedSecret
from meltemi.controller.webhook.server import ReviewConnection, application, server_context
from meltemi.controller.webhook.settings import service_names
from meltemi.controller.webhook.trial import Trial
from meltemi.controller.webhook.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import uvicorn
    from kubernetes.aio.client import Configuration

    from meltemi.controller.plane import ControlPlane
    from meltemi.controller.settings import Settings
    from meltemi.controller.store.objects import Decoded
    from meltemi.controller.webhook.judge import Trying, Verdict
    from meltemi.controller.webhook.keeper import Certificates
    from meltemi.protocols.registry import Registry

IDLE_S = 10.0
"""Seconds of silence after which a request to the API server has failed."""

KEEP_ALIVE_S = 120
"""Seconds that a connection may rest: longer than the API server lets one, so that it never sends
a review into one that we are closing.
"""

log: Any = structlog.get_logger("meltemi")


@asynccontextmanager
async def serving_webhook(
    connect: Callable[[], Awaitable[Configuration]],
    plane: ControlPlane,
    registry: Registry,
    settings: Settings,
    host: str,
    port: int,
) -> AsyncGenerator[None]:
    """Answer reviews while the context lasts, as soon as there is a certificate.

    Raises:
        SourceError: no API server is configured. CertificateError: a given one cannot be used.
        OSError: the address is taken (in an ExceptionGroup).
    """
    try:
        api = await Api.connected(connect, idle=IDLE_S)
    except (ConfigException, OSError) as error:
        raise SourceError(f"no API server is configured: {error}") from error
    try:
        context = server_context()
        certificates = await _certificates(api, settings)
        upkeep = Upkeep(api, certificates, context, settings.webhook.policy)
        trial = Trial(plane.store, registry, settings)

        def tried(decoded: Decoded) -> Trying | None:
            return trial.run(decoded) if plane.ready and trial.fits(decoded) else None

        def judged(verdict: Verdict) -> None:
            plane.metrics.reviewed(refused=bool(verdict.errors), failed=verdict.failed)
            if plane.ready:
                upkeep.proven()

        answering = application(Judge(tried), judged)
        config = quiet(answering, ReviewConnection, timeout_keep_alive=KEEP_ALIVE_S)
        config.load()
        config.ssl = context
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(_serve(upkeep, config, host, port))
            try:
                yield
            finally:
                serving.cancel()
    finally:
        await api.close()


async def _certificates(api: Api, settings: Settings) -> Certificates:
    """Given files are looked at before anything begins. Raises CertificateError."""
    given, instance = settings.webhook.files, settings.instance
    if given is None:
        names = service_names(instance) | settings.webhook.names
        return SharedSecret(api, instance.namespace, names)
    files = FilesOnDisk(given)
    await files.current()
    return files


async def _serve(upkeep: Upkeep, config: uvicorn.Config, host: str, port: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(upkeep.run())
        await upkeep.served.wait()
        async with listening(config, host, port) as bound:
            log.info("webhook.listening", webhook=host, port=bound)
            await asyncio.Event().wait()
