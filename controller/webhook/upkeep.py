"""Keeps right what new connections are served with, and what the API server is told of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.kube.api import JSON_PATCH, ApiError
from meltemi.controller.kube.backoff import Backoff
from meltemi.controller.webhook.keeper import SECRET
from meltemi.controller.webhook.registration import IGNORE, NAME, PATH, Wanted, corrections
from meltemi.controller.webhook.server import load
from meltemi.xds.credentials import CertificateError

if TYPE_CHECKING:
    import ssl

    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.webhook.keeper import Certificates, Served

PACE_S = 5.0
"""Seconds between two looks: what a `kubectl apply` of the manifest undoes is repaired that soon,
and a certificate that another replica made is served.
"""

SLOW_S = 15.0
"""Seconds between two looks at a configuration that we may not touch."""

UNMAINTAINED = (
    f"let Meltemi get and update the Secret {SECRET} in its own namespace and, where there is "
    "none, create it; or set MELTEMI_WEBHOOK_CERT and MELTEMI_WEBHOOK_KEY"
)
UNREGISTERED = (
    f"apply the ValidatingWebhookConfiguration {NAME} (meltemi manifests webhook), and let "
    "Meltemi get and patch it"
)

log: Any = structlog.get_logger("meltemi")


class Upkeep:
    """``served`` is set when ``context`` has a certificate. All replicas do the same: who comes
    second finds nothing to do.

    Until ``proven`` the ``failurePolicy`` stays as it is, and so ``Ignore`` as it is installed: an
    API server that cannot reach us must not keep anybody from working. After that it is
    ``policy``, and stays so when we are restarted.
    """

    def __init__(
        self, api: Api, certificates: Certificates, context: ssl.SSLContext, policy: str
    ) -> None:
        self.served = asyncio.Event()
        self._api = api
        self._certificates = certificates
        self._context = context
        self._policy = policy
        self._proven = asyncio.Event()
        self._wake = asyncio.Event()
        self._loaded: Served | None = None
        self._unserved = self._unregistered = ""
        self._backoff = Backoff(first=PACE_S / 5, limit=SLOW_S)
        self._not_before = 0.0

    def proven(self) -> None:
        """The API server has reached us, and we have answered what it asked."""
        if not self._proven.is_set():
            self._proven.set()
            self._wake.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._wake.clear()
            delay = await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._wake.wait()

    async def _look(self) -> float:
        """Do what is to be done; seconds until the next look."""
        # In this order: whoever is late has an old configuration, which it cannot change any more,
        # never an old authority, which it would write into a newer configuration.
        configuration = await self._configuration()
        try:
            served = await self._certificates.current()
        except (ApiError, CertificateError) as error:
            if str(error) != self._unserved:
                self._unserved = str(error)
                next_step = _next_step(error, UNMAINTAINED)
                log.warning("webhook.unmaintained", error=str(error), next_step=next_step)
            return self._backoff.next(error.retry_after if isinstance(error, ApiError) else 0.0)
        self._load(served)
        self._unserved = ""
        self._backoff.reset()
        if configuration is not None:
            await self._register(configuration, served)
        return PACE_S

    def _load(self, served: Served) -> None:
        if served != self._loaded:
            load(self._context, served.certificate, served.key)
            self._loaded = served
            self.served.set()

    async def _configuration(self) -> Body | None:
        """None where it cannot be read, or it is too early to look again."""
        if asyncio.get_running_loop().time() < self._not_before:
            return None
        try:
            return await self._api.get(PATH)
        except ApiError as error:
            self._put_off(error)
            return None

    async def _register(self, configuration: Body, served: Served) -> None:
        policy = self._policy if self._policy == IGNORE or self._proven.is_set() else None
        patch = corrections(configuration, Wanted(served.roots, policy))
        try:
            if patch:
                await self._api.send("PATCH", PATH, patch, content_type=JSON_PATCH)
                changed = [str(each["path"]).rpartition("/")[2] for each in patch[1:]]
                log.info("webhook.registered", changed=changed)
        except ApiError as error:
            if error.status not in {409, 422}:  # else another replica was faster
                self._put_off(error)
            return
        self._unregistered = ""

    def _put_off(self, error: ApiError) -> None:
        """Said once. What is forbidden is not asked for every time."""
        if error.status == 403:
            self._not_before = asyncio.get_running_loop().time() + SLOW_S
        if str(error) != self._unregistered:
            self._unregistered = str(error)
            next_step = _next_step(error, UNREGISTERED)
            log.warning("webhook.unregistered", error=str(error), next_step=next_step)


def _next_step(error: Exception, unless_allowed: str) -> str:
    """What an operator can do, if that is needed at all."""
    if isinstance(error, ApiError):
        return unless_allowed if error.status in {403, 404} else "nothing: it is tried again"
    return "replace the files: they are looked at again"
