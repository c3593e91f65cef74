"""Timeouts and retries of Dubbo's routes, in real Envoys."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.compiler import Compiler
from meltemi.protocols.model import Endpoint, LoadBalancer, TrafficPolicy
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.dubbo_wire import DubboCallError, Request, Response, Status
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import Address
from tests import make
from tests.abilities import Seen, saw
from tests.envoy.rig import PATIENCE_S, until_stat
from tests.envoy.serving import BIND, Served, served

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meltemi.protocols.model import Route

pytestmark = pytest.mark.envoy

GROUP = make.group(bind=BIND)
RARELY = 600.0
"""Seconds between two active checks: so long a server's death remains unknown."""

in_every_envoy = pytest.mark.parametrize("version", ENVOY_VERSIONS)


@asynccontextmanager
async def ruled(
    version: str, servers: list[DubboServer], *routes: Route
) -> AsyncGenerator[tuple[Served, DubboClient]]:
    """An Envoy with these routes to these servers, taken in turn, and a client of it."""
    service, settings = make.service(), TrafficPolicy(load_balancer=LoadBalancer.ROUND_ROBIN)
    mesh = make.mesh(
        service,
        make.policy(settings=settings),
        make.rule(*routes),
        endpoints=[Endpoint(s.address.host, {make.PORT: s.address.port}) for s in servers],
    )
    compiler = Compiler(make.registry(), mesh, check_interval=RARELY)
    make.run(compiler.open(GROUP))
    async with served(compiler.group(GROUP).snapshot, version=version) as on:
        await on.envoy.wait_ready()
        healthy = f"cluster.{make.OWN}.membership_healthy"
        await until_stat(on.envoy, healthy, lambda now: now == len(servers))
        async with await DubboClient.open(Address(BIND, make.PORT)) as client:
            yield on, client


@in_every_envoy
async def test_a_timeout_ends_its_calls_and_no_others(version: str) -> None:
    """Without one a call waits for as long as it takes."""
    asked, answer = asyncio.Semaphore(0), asyncio.Event()

    async def late(request: Request) -> Response:
        asked.release()
        await answer.wait()
        return Response(request.id, value="late")

    bounded = replace(make.route(0, make.to(), method=make.exact("bounded")), timeout=0.2)
    async with asyncio.timeout(PATIENCE_S), AsyncExitStack() as closing:
        server = await closing.enter_async_context(DubboServer("v1", answer=late))
        ruling = ruled(version, [server], bounded, make.route(1, make.to()))
        on, client = await closing.enter_async_context(ruling)
        waiting = asyncio.create_task(client.call("demo.Greeter", "unbounded"))
        await asked.acquire()
        with pytest.raises(DubboCallError) as told:
            (await client.call("demo.Greeter", "bounded")).result()
        assert told.value.reason == "timeout"
        assert not waiting.done()
        answer.set()
        assert (await waiting).result() == "late"
        assert (await client.call("demo.Greeter", "bounded")).result() == "late"
        await saw(on.envoy, "dubbo", Seen.TIMED_OUT)


async def answered(client: DubboClient, method: str) -> int:
    """How many of 40 calls got an answer."""
    calls = [await client.call("demo.Greeter", method) for _ in range(40)]
    return sum(call.status == Status.OK for call in calls)


@in_every_envoy
async def test_a_retry_finds_the_server_that_is_left_before_any_check_does(version: str) -> None:
    again = replace(make.route(0, make.to(), method=make.exact("again")), attempts=1)
    async with AsyncExitStack() as closing:
        stays, goes = [await closing.enter_async_context(DubboServer(v)) for v in make.VERSIONS]
        ruling = ruled(version, [stays, goes], again, make.route(1, make.to()))
        on, client = await closing.enter_async_context(ruling)
        await goes.stop()
        assert await answered(client, "once") == pytest.approx(20, abs=1)
        assert await answered(client, "again") == 40
        await saw(on.envoy, "dubbo", Seen.RETRIED)
