"""HTTPS for the API server: ``POST /validate``."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from meltemi.controller.admin.connections import Connection
from meltemi.controller.webhook.review import MalformedReview, allowed, parse, refused
from meltemi.controller.webhook.settings import REVIEWERS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from starlette.requests import Request

    from meltemi.controller.webhook.judge import Judge, Verdict

PATH = "/validate"
LARGEST = 8 * 1024 * 1024
"""Bytes of a review: two states of an object, of which the API server takes 3 MiB at most."""

READING_S = 5.0
"""Seconds after which whoever asks must have done so."""

_JSON = "application/json"


class ReviewConnection(Connection):
    """There may be many: one that is broken off is a change that is refused."""

    most = REVIEWERS


def application(judge: Judge, judged: Callable[[Verdict], None]) -> Starlette:
    """``judged`` hears of each answer."""

    async def validate(request: Request) -> Response:
        try:
            async with asyncio.timeout(READING_S):
                body = await _body(request)
        except TimeoutError:
            return PlainTextResponse("the review did not arrive in time\n", status_code=408)
        if body is None:
            return PlainTextResponse(f"more than {LARGEST} bytes\n", status_code=413)
        try:
            review = parse(body)
        except MalformedReview as error:
            return PlainTextResponse(f"{error}\n", status_code=400)
        verdict = await judge.judge(review)
        judged(verdict)
        if verdict.errors:
            return Response(refused(review.uid, verdict.errors), media_type=_JSON)
        return Response(allowed(review.uid, verdict.warnings), media_type=_JSON)

    return Starlette(routes=[Route(PATH, validate, methods=["POST"])])


async def _body(request: Request) -> bytes | None:
    """None if there is too much of it."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def server_context() -> ssl.SSLContext:
    """TLS 1.2 or later; without a certificate until one is loaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Have new connections served with this PEM chain and key, which touch no disk.

    Raises:
        OSError: they cannot be used; what was loaded before stays.
    """
    with _in_memory(certificate) as chain, _in_memory(key) as private:
        # Without the password it would ask the terminal for one.
        context.load_cert_chain(chain, private, password="")


@contextmanager
def _in_memory(content: bytes) -> Generator[str]:
    """A path for a library that reads nothing but files."""
    descriptor = os.memfd_create("webhook")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
