"""The webhook's HTTPS: what it takes, what it turns away, and certificates that change."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import warnings
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import pytest

from meltemi.controller.http_server import listening, quiet
from meltemi.controller.webhook.certificates import Action, Material, carry_out
from meltemi.controller.webhook.judge import Judge
from meltemi.controller.webhook.server import LARGEST, PATH, application, load, server_context
from meltemi.testing.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meltemi.controller.webhook.judge import Verdict

BAD = {
    "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
    "kind": "MetaRouter",
    "metadata": {"name": "shop", "namespace": "default"},
    "spec": {"hosts": ["shop.example"]},
}


class Served(NamedTuple):
    url: str
    port: int
    context: ssl.SSLContext
    judged: list[Verdict]


def material() -> Material:
    return carry_out(Action.ROTATE, None, frozenset({LOOPBACK}), datetime.now(UTC))


@asynccontextmanager
async def served(first: Material) -> AsyncGenerator[Served]:
    judged: list[Verdict] = []
    config = quiet(application(Judge(lambda _: None), judged.append))
    config.load()
    config.ssl = context = server_context()
    load(context, first.certificate, first.key)
    async with listening(config, LOOPBACK, 0) as port:
        yield Served(f"https://{LOOPBACK}:{port}{PATH}", port, context, judged)


def trusting(*materials: Material) -> ssl.SSLContext:
    roots = "".join(each.roots.decode() for each in materials)
    return ssl.create_default_context(cadata=roots)


def review(body: object) -> bytes:
    request = {"uid": "u-1", "operation": "CREATE", "object": body}
    return json.dumps(
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    ).encode()


async def ask(
    session: aiohttp.ClientSession, url: str, trust: ssl.SSLContext, body: bytes
) -> tuple[int, str]:
    async with session.post(url, data=io.BytesIO(body), ssl=trust) as response:
        return response.status, await response.text()


async def test_a_review_is_answered_and_told_of() -> None:
    made = material()
    async with served(made) as server, aiohttp.ClientSession() as session:
        status, text = await ask(session, server.url, trusting(made), review(BAD))
        assert status == 200
        assert json.loads(text)["response"]["status"]["code"] == 422
        assert [bool(each.errors) for each in server.judged] == [True]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"", 400), (b"x" * (LARGEST + 1), 413), (b"x" * LARGEST, 400)],
    ids=["no JSON", "nothing", "too much", "as much as may be"],
)
async def test_what_is_no_review_is_turned_away(body: bytes, status: int) -> None:
    made = material()
    async with served(made) as server, aiohttp.ClientSession() as session:
        assert (await ask(session, server.url, trusting(made), body))[0] == status
        assert server.judged == []
        assert (await ask(session, server.url, trusting(made), review(BAD)))[0] == 200


async def test_there_is_nothing_else_and_nothing_to_read() -> None:
    made = material()
    async with served(made) as server, aiohttp.ClientSession() as session:
        async with session.get(server.url, ssl=trusting(made)) as response:
            assert response.status == 405
        async with session.post(f"{server.url}/more", ssl=trusting(made)) as response:
            assert response.status == 404


async def test_whoever_trusts_another_authority_does_not_talk_to_it() -> None:
    async with served(material()) as server, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await ask(session, server.url, trusting(material()), review(BAD))


async def test_new_connections_get_a_new_certificate_and_open_ones_go_on() -> None:
    old, new = material(), material()
    async with (
        served(old) as server,
        aiohttp.ClientSession() as before,
        aiohttp.ClientSession() as after,
    ):
        trust = trusting(old)
        assert (await ask(before, server.url, trust, review(BAD)))[0] == 200
        load(server.context, new.certificate, new.key)
        assert (await ask(before, server.url, trust, review(BAD)))[0] == 200
        assert (await ask(after, server.url, trusting(new), review(BAD)))[0] == 200
        async with aiohttp.ClientSession() as late:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await ask(late, server.url, trusting(old), review(BAD))


async def test_a_certificate_that_cannot_be_used_leaves_the_one_that_is_served() -> None:
    made = material()
    async with served(made) as server, aiohttp.ClientSession() as session:
        with pytest.raises(OSError, match="mismatch"):
            load(server.context, made.certificate, material().key)
        with pytest.raises(OSError, match=r"."):
            load(server.context, b"nonsense", made.key)
        assert (await ask(session, server.url, trusting(made), review(BAD)))[0] == 200


async def test_tls_below_1_2_is_refused() -> None:
    made = material()
    async with served(made) as server:
        with warnings.catch_warnings(action="ignore"):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_1):
                trust = trusting(made)
                trust.set_ciphers("DEFAULT:@SECLEVEL=0")  # else we would not even ask
                trust.minimum_version = trust.maximum_version = version
                connecting = asyncio.open_connection(LOOPBACK, server.port, ssl=trust)
                if version is ssl.TLSVersion.TLSv1_2:
                    _, writer = await connecting
                    writer.close()
                else:
                    with pytest.raises((ssl.SSLError, ConnectionResetError)):
                        await connecting
