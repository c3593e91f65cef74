"""Requests to an API server that fails."""

from __future__ import annotations

import pytest
from aiohttp import web
from kubernetes.aio import client

from meltemi.controller.kube.api import Api, ApiError
from meltemi.testing.ports import LOOPBACK, free_port


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE"])
async def test_a_failure_is_told_at_once_and_never_tried_again_behind_the_callers_back(
    method: str,
) -> None:
    asked: list[str] = []

    async def fail(request: web.Request) -> web.StreamResponse:
        asked.append(request.method)
        return web.json_response({"message": "broken"}, status=500 if len(asked) == 1 else 200)

    application = web.Application()
    application.router.add_route("*", "/thing", fail)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    api = Api(client.Configuration(host=f"http://{LOOPBACK}:{port}"))
    try:
        with pytest.raises(ApiError, match="500 broken"):
            await api.send(method, "/thing", {} if method != "GET" else None)
    finally:
        await api.close()
        await runner.cleanup()
    assert asked == [method]
