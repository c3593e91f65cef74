"""A reflector against an API server that misbehaves in the ways that were seen in real ones."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from kubernetes.aio import client

from meltemi.controller.kube.api import Api
from meltemi.controller.kube.kinds import Kind
from meltemi.controller.kube.mirror import Gone
from meltemi.controller.kube.reflector import Reflector, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence

    from meltemi.controller.kube.reflector import News

    Answer = Callable[[web.Request], Coroutine[None, None, web.StreamResponse]]

PATIENCE_S = 20.0
KIND = Kind("", "Service", "services", ("v1",), required=True)


def thing(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"namespace": "n", "name": name, "resourceVersion": str(version)}}


def event(kind: str, body: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": body}).encode() + b"\n"


def page(version: int, *items: dict[str, Any], more: str = "") -> Answer:
    """A list, or a page of it."""

    async def answer(_: web.Request) -> web.StreamResponse:
        metadata = {"resourceVersion": str(version), "continue": more}
        return web.json_response({"metadata": metadata, "items": items})

    return answer


def watch(*lines: bytes, stay: bool = False) -> Answer:
    """A watch that says this and ends, or stays open."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(line)
        if stay:
            await asyncio.Event().wait()
        return response

    return answer


def status(code: int, text: str = "no", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text=text, headers=headers)

    return answer


class World:
    """The server's answers, one per request; after the last one, watches stay silent."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers = [*answers]
        self.queries: list[dict[str, str]] = []
        self.waits: list[float] = []
        self.told: list[str] = []
        self.states: list[State] = []
        self._news = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if "sendInitialEvents" in query:
            return web.json_response({"message": "no WatchList here"}, status=422)
        self.queries.append(query)
        self._news.set()
        following = self.answers.pop(0) if self.answers else watch(stay=True)
        return await following(request)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)

    def deliver(self, news: Sequence[News]) -> None:
        for each in news:
            sign = "-" if isinstance(each, Gone) else "+"
            self.told.append(f"{sign}{each.name.name}")
        self._news.set()

    def changed(self, reflector: Reflector) -> None:
        self.states.append(reflector.state)
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                self._news.clear()
                await self._news.wait()

    async def finished(self) -> None:
        """Every answer was given, and the reflector has asked once more."""
        asked = len(self.answers) + len(self.queries) + 1
        await self.until(lambda: len(self.queries) >= asked)


@asynccontextmanager
async def world(*answers: Answer) -> AsyncGenerator[World]:
    """A reflector that follows such a server."""
    found = World(answers)
    app = web.Application()
    app.router.add_get("/api/v1/services", found.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    configuration = client.Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    api = Api(configuration)
    reflector = Reflector(KIND, api, found.deliver, changed=found.changed, sleep=found.sleep)
    running = asyncio.create_task(reflector.run())
    try:
        yield found
        assert not running.done(), "the reflector has ended"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.close()
        await runner.cleanup()


async def test_a_watch_goes_on_where_the_last_one_ended() -> None:
    async with world(
        page(10, thing("a", 5)),
        watch(event("ADDED", thing("b", 11)), event("BOOKMARK", thing("", 20))),
        watch(event("MODIFIED", thing("a", 21))),
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+b", "+a"]
        assert [query.get("resourceVersion") for query in server.queries] == ["0", "10", "20", "21"]


async def test_a_line_that_breaks_off_is_not_taken_and_nothing_is_lost() -> None:
    cut = event("ADDED", thing("b", 11))[:-9]
    async with world(
        page(10),
        watch(event("ADDED", thing("a", 11)), cut),
        watch(event("ADDED", thing("b", 12))),
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+b"]
        assert server.queries[2]["resourceVersion"] == "11"


async def test_watches_that_end_at_once_are_asked_for_less_and_less_often() -> None:
    async with world(page(10), *[watch()] * 12) as server:
        await server.finished()
        assert len(server.waits) == 12
        assert min(server.waits[8:]) > 10 * max(server.waits[:2])


async def test_a_forgotten_position_lists_again_and_tells_the_difference() -> None:
    gone = {"code": 410, "reason": "Expired", "message": "too old resource version"}
    for expired in (watch(event("ERROR", gone)), status(410)):
        async with world(
            page(10, thing("kept", 1), thing("gone", 2)),
            expired,
            page(30, thing("kept", 1), thing("new", 29)),
        ) as server:
            await server.finished()
            assert server.told == ["+kept", "+gone", "+new", "-gone"]
            assert "resourceVersion" not in server.queries[2], "may not go back in time"
            assert server.waits == []


async def test_a_list_that_expires_between_two_pages_begins_anew() -> None:
    async with world(
        page(10, thing("a", 1), more="token"),
        status(410),
        page(12, thing("a", 1), thing("b", 2)),
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+b"]


async def test_a_server_that_asks_for_patience_gets_it() -> None:
    busy = status(429, "storage is (re)initializing", **{"Retry-After": "7"})
    async with world(busy, page(10, thing("a", 1))) as server:
        await server.finished()
        assert server.told == ["+a"]
        assert server.waits[0] >= 7.0
        assert server.states[0] is State.FAILING


async def test_errors_delete_nothing() -> None:
    failures = [status(500), status(503), status(401), status(403), status(404), watch(b"<html>\n")]
    for failure in failures:
        async with world(page(10, thing("a", 1)), failure, page(11, thing("a", 1))) as server:
            await server.until(lambda server=server: len(server.queries) > 2)  # type: ignore[misc]
            assert server.told == ["+a"]


async def test_old_news_and_repeated_news_are_no_news() -> None:
    async with world(
        page(10, thing("a", 5)),
        watch(
            event("ADDED", thing("a", 5)),
            event("MODIFIED", thing("a", 12)),
            event("MODIFIED", thing("a", 11)),
            event("DELETED", thing("a", 4)),
            event("MODIFIED", thing("a", 12)),
        ),
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+a"]
        assert server.queries[-1]["resourceVersion"] == "12"


async def test_what_is_no_event_fails_the_watch_and_not_the_reflector() -> None:
    nonsense = [b"null\n", b"[]\n", b'{"type": "ADDED"}\n', b'{"type": "ADDED", "object": 7}\n']
    answers: list[Answer] = [watch(line) for line in nonsense]
    async with world(page(10), *answers, watch(event("ADDED", thing("a", 11)))) as server:
        await server.finished()
        assert server.told == ["+a"]
        assert len(server.waits) == len(nonsense)
