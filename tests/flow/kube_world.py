"""An API server that misbehaves as it is told, and a reflector that follows it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from kubernetes.aio import client

from meltemi.controller.kube.api import IDLE_S, Api
from meltemi.controller.kube.kinds import Kind
from meltemi.controller.kube.mirror import Gone
from meltemi.controller.kube.reflector import Reflector

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence

    from meltemi.controller.kube.reflector import News
    from meltemi.controller.kube.state import State

    Answer = Callable[[web.Request], Coroutine[None, None, web.StreamResponse]]

PATIENCE_S = 20.0
CORE = Kind("", "Service", "services", ("v1",), required=True)
CUSTOM = Kind("example.io", "Rule", "rules", ("v1",))


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


def single(body: dict[str, Any]) -> Answer:
    """One object."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(body)

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
    """The server's answers, one per request; after the last one, watches stay silent. ``groups`` is
    what it says of itself, None if nothing. Those who ask it to stream a list are refused unless
    it ``streams``. ``requests`` are all that came to the kind, ``tokens`` who asked.
    """

    def __init__(self, answers: Sequence[Answer], *, streams: bool = False) -> None:
        self.answers = [*answers]
        self.streams = streams
        self.groups: list[dict[str, Any]] | None = [
            {"name": CUSTOM.group, "versions": [{"version": "v1"}]}
        ]
        self.resources = [{"name": CUSTOM.plural}]
        self.paths: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self.waits: list[float] = []
        self.told: list[str] = []
        self.states: list[State] = []
        self._news = asyncio.Event()
        self._runner = web.AppRunner(self._app(), handler_cancellation=True, shutdown_timeout=0.1)
        self._port = 0

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/apis", self._discovery)
        app.router.add_get("/apis/example.io", self._discovery)
        app.router.add_get("/apis/example.io/v1", self._discovery)
        app.router.add_get("/{path:.*}", self._answer)
        return app

    async def start(self) -> str:
        """Where it is, at the same place each time."""
        self._runner = web.AppRunner(self._app(), handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]
        return f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Connections break, and new ones are refused."""
        await self._runner.cleanup()

    async def _discovery(self, request: web.Request) -> web.StreamResponse:
        if self.groups is None:
            return web.Response(status=404, text="404 page not found")
        if request.path == "/apis":
            return web.json_response({"groups": self.groups})
        found = next((each for each in self.groups if each["name"] in request.path), None)
        if found is None:
            return web.Response(status=404, text="404 page not found")
        return web.json_response({**found, "resources": self.resources})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        if "sendInitialEvents" in query and not self.streams:
            return web.json_response({"message": "no WatchList here"}, status=422)
        self.paths.append(request.path)
        self.queries.append(query)
        self.tokens.append(request.headers.get("Authorization", ""))
        self._news.set()
        following = self.answers.pop(0) if self.answers else watch(stay=True)
        return await following(request)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._news.set()
        await asyncio.sleep(0)

    def deliver(self, news: Sequence[News]) -> None:
        for each in news:
            sign = "-" if isinstance(each, Gone) else "+"
            self.told.append(f"{sign}{each.name.name}")
        self._news.set()

    def changed(self, reflector: Reflector) -> None:
        if self.states[-1:] != [reflector.state]:
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
async def world(
    *answers: Answer,
    kind: Kind = CORE,
    streams: bool = False,
    name: str = "",
    selector: str = "",
    idle: float = IDLE_S,
    tokens: Sequence[str] = ("",),
) -> AsyncGenerator[World]:
    """A reflector that follows such a server. ``tokens``: its credentials, the next one each time
    that it is asked for them; the last one stays.
    """
    found = World(answers, streams=streams)
    url, left = await found.start(), [*tokens]

    async def connect() -> client.Configuration:
        token = left.pop(0) if len(left) > 1 else left[0]
        return client.Configuration(host=url, api_key={"BearerToken": f"Bearer {token}"})

    api = await Api.connected(connect, idle=idle)
    reflector = Reflector(
        kind,
        api,
        found.deliver,
        name=name,
        namespace="n" if name else "",
        selector=selector,
        changed=found.changed,
        sleep=found.sleep,
    )
    running = asyncio.create_task(reflector.run())
    try:
        yield found
        assert not running.done(), "the reflector has ended"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.close()
        await found.stop()
