"""Lets those in who present a token; health and readiness are for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from meltemi.controller.admin.access import EVERYTHING, TokenError, grant_of, read_tokens
from meltemi.xds.loopback import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp, Receive, Scope, Send

    from meltemi.controller.admin.access import Grant

OPEN = frozenset({"/healthz", "/readyz"})
"""What a kubelet or a load balancer asks for, which have no token."""

GRANT = "grant"
"""Where a request's state has what it may see."""

log: Any = structlog.get_logger("meltemi")


class Guard:
    """Answers for ``app`` where a request has no token of the file ``tokens``, which is read for
    each: whoever is written into it or taken out of it is so at once.

    Without such a file the port is ``closed`` to everybody, or on loopback. There, a page of
    somebody else's in a browser of this machine must not read it: it could make its own name lead
    here.
    """

    def __init__(self, app: ASGIApp, tokens: Path | None, *, closed: bool) -> None:
        self._app = app
        self._tokens = tokens
        self._closed = closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        answer: ASGIApp = self._app
        if scope["type"] == "http" and scope["path"] not in OPEN:
            granted = self._granted(Headers(scope=scope))
            if isinstance(granted, PlainTextResponse):
                answer = granted
            else:
                scope.setdefault("state", {})[GRANT] = granted
        await answer(scope, receive, send)

    def _granted(self, headers: Headers) -> Grant | PlainTextResponse:
        if self._closed:
            text = "closed: there is no MELTEMI_ADMIN_TOKEN_FILE to let anybody in\n"
            return PlainTextResponse(text, status_code=403)
        if self._tokens is None:
            if _is_of_this_machine(headers.get("host", "")):
                return EVERYTHING
            return PlainTextResponse("ask 127.0.0.1 or localhost\n", status_code=421)
        try:
            found = grant_of(headers.get("authorization", ""), read_tokens(self._tokens))
        except TokenError as error:
            log.error("admin.locked", error=str(error))  # noqa: TRY400  # the sentence says it all
            return PlainTextResponse("nobody can be let in now: see the log\n", status_code=503)
        if found is not None:
            return found
        return PlainTextResponse(
            "a token is needed: Authorization: Bearer TOKEN\n",
            status_code=401,
            headers={"WWW-Authenticate": "Bearer"},
        )


def _is_of_this_machine(host: str) -> bool:
    """Of a ``Host`` header; HTTP/1.0 has none."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name is None or is_loopback(name)
