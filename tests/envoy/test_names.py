"""Endpoints that are DNS names, which a real Envoy resolves."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import pytest

from meltemi.protocols.model import Discovery, Endpoint, Rule
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.ports import Address
from tests import make
from tests.envoy.serving import BIND, served

pytestmark = pytest.mark.envoy

CALLERS = 8


@pytest.mark.parametrize("discovery", [Discovery.DNS, Discovery.DNS_ROUND_ROBIN])
async def test_a_name_is_resolved_by_the_proxy(discovery: Discovery) -> None:
    async with AsyncExitStack() as closing:
        server = await closing.enter_async_context(DubboServer("v1"))
        named = Endpoint("localhost", {make.PORT: server.address.port})
        service = replace(make.service(), discovery=discovery)
        snapshot = make.snapshot(make.mesh(service, endpoints=[named]), make.group(bind=BIND))
        on = await closing.enter_async_context(served(snapshot))
        await on.envoy.wait_ready()
        opening = DubboClient.open(Address(BIND, make.PORT))
        client = await closing.enter_async_context(await opening)
        assert (await client.call("demo.Greeter", "hello")).value == "v1"


@dataclass(slots=True)
class Callers:
    """Calls on open connections, without a pause."""

    latest: list[str] = field(default_factory=list[str])
    seen: set[str] = field(default_factory=set[str])
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    calling: list[asyncio.Task[None]] = field(default_factory=list["asyncio.Task[None]"])

    def start(self, client: DubboClient) -> None:
        self.calling.append(asyncio.create_task(self._call(client)))

    async def _call(self, client: DubboClient) -> None:
        while True:
            answer = str((await client.call("demo.Greeter", "hello")).value)
            self.latest.append(answer)
            self.seen.add(answer)
            self.answered.set()

    async def until(self, share: float) -> None:
        """Sooner or later 200 calls are shared so."""
        wanted = pytest.approx(200 * share, abs=8)
        while Counter(self.latest[-200:])["v2"] != wanted or len(self.latest) < 200:
            self.answered.clear()
            await self.answered.wait()

    async def stop(self) -> list[BaseException | None]:
        """What ended the callers."""
        for task in self.calling:
            task.cancel()
        return await asyncio.gather(*self.calling, return_exceptions=True)


async def test_weights_between_names_change_without_a_failed_call() -> None:
    """The endpoints stand in the cluster, so that the proxy gets another one: it takes over once it
    has resolved and checked them.
    """
    service = replace(make.service(), discovery=Discovery.DNS)
    draft, group, callers = make.Draft(), make.group(bind=BIND), Callers()
    for thing in (service, make.policy(), weighted(80, 20)):
        draft.put(thing)
    async with asyncio.timeout(30), AsyncExitStack() as closing:
        for version in make.VERSIONS:
            server = await closing.enter_async_context(DubboServer(version))
            ports = {make.PORT: server.address.port}
            named = Endpoint("localhost", ports, {"version": version})
            draft.place(service, *draft.mesh.endpoints.get(("default", make.host()), ()), named)
        compiler = make.compiler(draft.mesh, group)
        compiled = compiler.group(group)
        on = await closing.enter_async_context(served(compiled.snapshot))
        await on.envoy.wait_ready()
        for _ in range(CALLERS):
            opening = DubboClient.open(Address(BIND, make.PORT))
            callers.start(await closing.enter_async_context(await opening))
        await callers.until(0.2)
        make.run(compiler.update(draft.put(weighted(10, 90))))
        on.group.publish(compiled.snapshot, compiled.take_changed())
        await callers.until(0.9)
        ended = await callers.stop()
    assert {type(reason) for reason in ended} == {asyncio.CancelledError}
    assert callers.seen == {"v1", "v2"}


def weighted(v1: int, v2: int) -> Rule:
    return make.rule(make.route(0, make.to("v1", v1), make.to("v2", v2)))
