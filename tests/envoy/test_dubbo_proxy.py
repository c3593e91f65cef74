"""Dubbo by dubbo_proxy, where somebody allows it: what changes on open connections."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.model import Endpoint
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import Address
from tests import make
from tests.abilities import Seen, saw
from tests.envoy.rig import PATIENCE_S
from tests.envoy.serving import BIND, served

if TYPE_CHECKING:
    from meltemi.protocols.model import Rule

pytestmark = pytest.mark.envoy


def weighted(v1: int, v2: int, method: str = "") -> Rule:
    """These weights, and one method that always goes to v2."""
    shares = make.route(1, make.to("v1", v1), make.to("v2", v2))
    always = make.route(0, make.to("v2"), method=make.exact(method))
    return make.rule(*([always] if method else []), replace(shares, name="canary"))


@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_weights_and_routes_change_on_an_open_connection(version: str) -> None:
    service = replace(make.service(), allows=frozenset({"dubbo_proxy"}))
    proxy = make.capability("GenericProxy", "MetaProtocol", version=make.minor(version))
    group, draft = make.group(bind=BIND, proxy=proxy), make.Draft()
    async with AsyncExitStack() as closing:
        for thing in (service, make.policy(), weighted(80, 20)):
            draft.put(thing)
        servers = [await closing.enter_async_context(DubboServer(v)) for v in make.VERSIONS]
        draft.place(
            service,
            *(
                Endpoint(at.address.host, {make.PORT: at.address.port}, {"version": at.version})
                for at in servers
            ),
        )
        compiler = make.compiler(draft.mesh, group)
        compiled = compiler.group(group)
        on = await closing.enter_async_context(served(compiled.snapshot, version=version))
        await on.envoy.wait_ready()
        opening = DubboClient.open(Address(BIND, make.PORT))
        client = await closing.enter_async_context(await opening)

        async def shares(method: str) -> Counter[object]:
            """Who answers 100 calls; none of them fails."""
            calls = [await client.call("demo.Greeter", method) for _ in range(100)]
            return Counter(call.result() for call in calls)

        def save(rule: Rule) -> None:
            make.run(compiler.update(draft.put(rule)))
            on.group.publish(compiled.snapshot, compiled.take_changed())

        async def is_always_v2() -> bool:
            return set(await shares("refund")) == {"v2"}

        async def is_mostly_v2() -> bool:
            return (await shares("hello"))["v2"] == pytest.approx(90, abs=1)

        assert (await shares("hello"))["v2"] == pytest.approx(20, abs=1)
        save(weighted(10, 90))
        await on.envoy.process.wait_until(is_mostly_v2, "take the new weights", PATIENCE_S)
        assert (await shares("refund"))["v1"] > 0
        save(weighted(10, 90, "refund"))
        await on.envoy.process.wait_until(is_always_v2, "take the new route", PATIENCE_S)
        assert (await shares("hello"))["v1"] > 0
        await saw(on.envoy, "dubbo", Seen.SHARES)
        await saw(on.envoy, "dubbo", Seen.CHANGED)
