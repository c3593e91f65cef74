"""Who a service account token is of: asked of the API server, once for all who bring it."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import asynccontextmanager
from hashlib import sha256
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from meltemi.controller.identity import UnverifiableError
from meltemi.controller.kube.api import Api, ApiError
from meltemi.controller.kube.claims import remaining
from meltemi.controller.kube.token_cache import TokenCache
from meltemi.controller.sources.kube import configured
from meltemi.xds.bearer import Verified
from meltemi.xds.peer import Identity, UnidentifiedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from kubernetes.aio.client import Configuration

    from meltemi.controller.identity import Verify

    Checked = Callable[[str, str], None]
    """Hears of every token that was looked at: ``accepted``, ``refused`` or ``unknown``, and
    whether its own ``claims``, the ``cache`` or a ``review`` has decided.
    """

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"

AT_ONCE = 8
"""Reviews that are under way at the same time."""

WAITING = 1_000
"""Tokens that wait to be reviewed, with those that are."""

PATIENCE = 5.0
"""Seconds for a review, waiting included."""

QUIET = 5.0
"""Seconds without a failure after which failing is over: a busy API server refuses some reviews and
answers others.
"""

NEXT_STEP = (
    "proxies that are connected stay so; others are let in when the API server answers, and lets "
    "Meltemi create tokenreviews.authentication.k8s.io"
)

_USER = re.compile(r"system:serviceaccount:([a-z0-9][a-z0-9-]*):([a-z0-9][a-z0-9.-]*)")

log: Any = structlog.get_logger("meltemi")


class _User(msgspec.Struct):
    username: str = ""


class _Status(msgspec.Struct):
    authenticated: bool = False
    user: _User = msgspec.field(default_factory=_User)
    audiences: list[str] = []
    error: str = ""


class TokenReviews:
    """Tokens must be for ``audience``; whose they are is told as a SPIFFE identity of
    ``trust_domain``. No token is kept once it is reviewed.
    """

    def __init__(self, api: Api, audience: str, trust_domain: str, checked: Checked) -> None:
        self._api = api
        self._audience = audience
        self._trust_domain = trust_domain
        self._checked = checked
        self._cache = TokenCache()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._asking: dict[bytes, asyncio.Task[Verified]] = {}
        self._failed: float | None = None

    async def verify(self, token: str) -> Verified:
        """Whose it is.

        Raises:
            UnidentifiedError: nobody's, or it is not good any more, or not for us.
            UnverifiableError: the API server cannot be asked.
        """
        by = "claims"
        try:
            lasts = remaining(token, self._audience, time.time())
            by, key = "cache", sha256(token.encode()).digest()
            found = self._cache.look(key, monotonic())
            if found is None:
                by = "review"
                found = await asyncio.shield(self._asked(key, token, lasts))
        except UnidentifiedError:
            self._checked("refused", by)
            raise
        except UnverifiableError:
            self._checked("unknown", by)
            raise
        self._checked("accepted", by)
        return found

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    def _asked(self, key: bytes, token: str, lasts: float) -> asyncio.Task[Verified]:
        """The review of a token, which goes on even if who has brought it leaves."""
        if (task := self._asking.get(key)) is not None:
            return task
        if len(self._asking) >= WAITING:
            raise UnverifiableError(f"{WAITING} tokens wait to be reviewed here: try again later")

        def done(task: asyncio.Task[Verified]) -> None:
            del self._asking[key]
            if not task.cancelled():
                task.exception()  # there may be nobody left to be told

        task = self._asking[key] = asyncio.create_task(self._ask(key, token, lasts))
        task.add_done_callback(done)
        return task

    async def _ask(self, key: bytes, token: str, lasts: float) -> Verified:
        answer = await self._review(token)
        try:
            found = Verified(self._identity(answer, token), lasts)
        except UnidentifiedError as error:
            self._cache.refuse(key, str(error), monotonic())
            raise
        self._cache.accept(key, found, monotonic())
        return found

    async def _review(self, token: str) -> _Status:
        """Raises UnverifiableError."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        try:
            async with asyncio.timeout(PATIENCE), self._turns:
                answer = await self._api.send("POST", REVIEWS, body)
            status = msgspec.convert(answer.get("status"), _Status)
        except (ApiError, TimeoutError, msgspec.ValidationError) as error:
            cause = str(error) or f"no answer within {PATIENCE:g} s"
            self._tell(cause.replace(token, "TOKEN"))
            raise UnverifiableError(
                "nobody can tell now whether the token is good, for the API server that has "
                "issued it cannot be asked: try again"
            ) from None  # the cause may quote the token
        self._tell("")
        return status

    def _identity(self, status: _Status, token: str) -> Identity:
        """Raises UnidentifiedError."""
        if not status.authenticated:
            why = status.error.replace(token, "TOKEN")[:300] or "it gives no reason"
            raise UnidentifiedError(
                f"the API server refuses the token ({why}): send one of this cluster that is "
                "still good"
            )
        if self._audience not in status.audiences:
            # An authenticator that has never heard of audiences accepts tokens for anybody.
            raise UnidentifiedError(
                f"the API server does not say that the token is for {self._audience!r}: use one "
                "that looks at audiences"
            )
        user = _USER.fullmatch(status.user.username)
        if user is None:
            raise UnidentifiedError(
                f"the token is of {status.user.username[:100]!r}, which is no service account: "
                "send that of one"
            )
        return Identity(self._trust_domain, f"/ns/{user[1]}/sa/{user[2]}")

    def _tell(self, wrong: str) -> None:
        """When it begins to fail, and when that is over."""
        now = monotonic()
        if wrong:
            if self._failed is None:
                log.error("tokens.unanswered", error=wrong, next_step=NEXT_STEP)
            self._failed = now
        elif self._failed is not None and now - self._failed >= QUIET:
            log.info("tokens.answered")
            self._failed = None


@asynccontextmanager
async def token_reviews(
    connect: Callable[[], Awaitable[Configuration]],
    audience: str,
    trust_domain: str,
    checked: Checked,
) -> AsyncGenerator[Verify]:
    """Verifies tokens while the context lasts. Raises SourceError where no API server is
    configured.
    """
    api = Api(await configured(connect), connect=connect)
    reviews = TokenReviews(api, audience, trust_domain, checked)
    try:
        yield reviews.verify
    finally:
        await reviews.close()
        await api.close()
