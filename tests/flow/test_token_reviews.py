"""Tokens and an API server that misbehaves; ``tests/cluster/test_tokens.py`` has a real one."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from kubernetes.aio import client
from structlog.testing import capture_logs

from meltemi.controller.identity import UnverifiableError
from meltemi.controller.kube import token_reviews as module
from meltemi.controller.kube.token_reviews import REVIEWS, token_reviews
from meltemi.xds.peer import UnidentifiedError
from tests.json_tokens import json_token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meltemi.controller.identity import Verify
    from meltemi.xds.bearer import Verified

PATIENCE_S = 20.0
GOOD = {
    "authenticated": True,
    "user": {"username": "system:serviceaccount:shop:edge"},
    "audiences": ["meltemi"],
}


@dataclass(slots=True)
class World:
    """What the server says of every token, and what became of those that asked."""

    says: dict[str, Any] = field(default_factory=lambda: {"status": GOOD})
    code: int = 200
    text: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    checked: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    verify: Verify | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self.arrived.set()
        await self.answering.wait()
        if self.text:
            return web.Response(text=self.text, status=self.code)
        return web.json_response(self.says, status=self.code)

    def heard(self, result: str, by: str) -> None:
        self.checked[result, by] += 1

    async def whose(self, token: str) -> Verified:
        assert self.verify is not None
        async with asyncio.timeout(PATIENCE_S):
            return await self.verify(token)


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    found = World()
    found.answering.set()
    async with reviewing(found):
        yield found
        found.answering.set()


@asynccontextmanager
async def reviewing(world: World) -> AsyncGenerator[None]:
    app = web.Application()
    app.router.add_post(REVIEWS, world.answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        configuration = client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")

        async def connect() -> client.Configuration:
            return configuration

        async with token_reviews(connect, "meltemi", "mesh.example", world.heard) as world.verify:
            yield
    finally:
        await runner.cleanup()


def token(number: int = 1, lasts: float = 600) -> str:
    return json_token({"aud": "meltemi", "exp": time.time() + lasts, "jti": number})


async def test_a_token_is_reviewed_for_our_audience_once(world: World) -> None:
    mine = token()
    for _ in range(3):
        found = await world.whose(mine)
        assert str(found.identity) == "spiffe://mesh.example/ns/shop/sa/edge"
        assert 500 < found.lasts <= 600
    [body] = world.asked
    assert body["spec"] == {"token": mine, "audiences": ["meltemi"]}
    assert world.checked == {("accepted", "review"): 1, ("accepted", "cache"): 2}


async def test_many_streams_with_one_token_wait_for_one_review(world: World) -> None:
    world.answering.clear()
    mine = token()
    asking = [asyncio.create_task(world.whose(mine)) for _ in range(100)]
    await world.arrived.wait()
    asking[0].cancel()  # it is the one for which the review began
    world.answering.set()
    found = await asyncio.gather(*asking[1:])
    assert (len(set(found)), len(world.asked)) == (1, 1)
    assert world.checked == {("accepted", "review"): 99}


async def test_a_few_reviews_are_under_way_and_no_more_than_a_number_wait(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING", 20)
    world.answering.clear()
    asking = [asyncio.create_task(world.whose(token(number))) for number in range(20)]
    async with asyncio.timeout(PATIENCE_S):
        while len(world.asked) < module.AT_ONCE:
            world.arrived.clear()
            await world.arrived.wait()
    with pytest.raises(UnverifiableError, match="20 tokens wait to be reviewed here"):
        await world.whose(token(21))
    assert len(world.asked) == module.AT_ONCE
    world.answering.set()
    assert len(await asyncio.gather(*asking)) == 20


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        ({"authenticated": False, "error": "it was deleted"}, r"\(it was deleted\)"),
        ({}, r"\(it gives no reason\)"),
        (GOOD | {"audiences": []}, "does not say that the token is for 'meltemi'"),
        (GOOD | {"audiences": ["vault"]}, "does not say that the token is for 'meltemi'"),
        (GOOD | {"user": {"username": "ann"}}, "of 'ann', which is no service account"),
        (GOOD | {"user": {"username": "system:serviceaccount:a:b:c"}}, "no service account"),
        (GOOD | {"user": {"username": "system:serviceaccount:../x:b"}}, "no service account"),
    ],
)
async def test_a_token_that_the_server_does_not_vouch_for_is_refused_and_remembered(
    world: World, status: dict[str, Any], complaint: str
) -> None:
    world.says = {"status": status}
    mine = token()
    for _ in range(2):
        with pytest.raises(UnidentifiedError, match=complaint):
            await world.whose(mine)
    assert world.checked == {("refused", "review"): 1, ("refused", "cache"): 1}


async def test_a_token_that_cannot_be_good_is_not_shown_to_the_server(world: World) -> None:
    with pytest.raises(UnidentifiedError, match="expired"):
        await world.whose(token(lasts=-1))
    assert (world.asked, world.checked) == ([], {("refused", "claims"): 1})


@pytest.mark.parametrize(
    ("code", "text", "logged"),
    [
        (500, "etcd is away", "500 etcd is away"),
        (403, '{"message": "tokenreviews is forbidden"}', "403 tokenreviews is forbidden"),
        (429, "later", "429 later"),
        (200, "nonsense", "no JSON object"),
        (200, "[]", "no JSON object"),
        (200, "{}", "Expected `object`"),
        (200, '{"status": {"authenticated": "maybe"}}', "Expected `bool`"),
    ],
)
async def test_a_server_that_gives_no_answer_refuses_nobody_for_good(
    world: World, code: int, text: str, logged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUIET", 0.0)
    world.code, world.text = code, text
    mine = token()
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(UnverifiableError, match="try again"):
                await world.whose(mine)
        world.code, world.text = 200, ""
        assert (await world.whose(mine)).identity
    events = [log["event"] for log in logs]
    assert events == ["tokens.unanswered", "tokens.answered"], "each once"
    assert logged in logs[0]["error"]
    assert world.checked == {("unknown", "review"): 2, ("accepted", "review"): 1}


async def test_a_server_that_answers_now_and_then_does_not_fill_the_log(world: World) -> None:
    with capture_logs() as logs:
        for number in range(10):
            world.code = 429 if number % 2 == 0 else 200
            with suppress(UnverifiableError):
                await world.whose(token(number))
    assert world.checked == {("unknown", "review"): 5, ("accepted", "review"): 5}
    assert [log["event"] for log in logs] == ["tokens.unanswered"]


async def test_a_silent_server_is_not_waited_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, fresh = token(1), token(2)
    await world.whose(known)
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    world.answering.clear()
    with capture_logs() as logs, pytest.raises(UnverifiableError):
        await world.whose(fresh)
    assert logs[0]["error"] == "no answer within 0.05 s"
    assert (await world.whose(known)).identity, "what is known needs no server"


async def test_no_answer_of_the_server_shows_a_token(world: World) -> None:
    mine = token()
    world.code, world.text = 500, f"cannot read {mine}"
    with capture_logs() as logs, pytest.raises(UnverifiableError) as unverifiable:
        await world.whose(mine)
    assert logs[0]["error"] == "500 cannot read TOKEN"
    world.code, world.text = 200, ""
    world.says = {"status": {"error": f"{mine} is bad"}}
    with pytest.raises(UnidentifiedError, match="TOKEN is bad") as refused:
        await world.whose(mine)
    assert mine not in f"{unverifiable.value!r} {refused.value!r}"
