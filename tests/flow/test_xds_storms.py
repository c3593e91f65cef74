"""Many proxies at once: a few are prepared at a time, in order, and too many are refused."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import grpc

from meltemi.testing.xds_client import delta_request
from meltemi.xds import admission_control
from meltemi.xds.limits import Limits
from meltemi.xds.resource import CLUSTER
from tests.flow.xds_rig import DELTA, PATIENCE, Rig, greet, still_served

if TYPE_CHECKING:
    import pytest

    from meltemi.xds.group import Group
    from meltemi.xds.peer import Peer
    from meltemi.xds.wire import Node

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


class Slow(Rig):
    """Prepares nobody before it is told to."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.go = asyncio.Event()
        self._preparing = asyncio.Event()

    async def resolve(self, node: Node, _: Peer) -> Group:
        group = await super().resolve(node, _)
        if node.id != "old":
            self._preparing.set()
            await self.go.wait()
        return group

    async def until_preparing(self) -> None:
        """Until somebody is being prepared."""
        async with asyncio.timeout(PATIENCE):
            await self._preparing.wait()


async def test_a_storm_is_prepared_in_order_and_beyond_the_waiting_list_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission_control, "PREPARING", 3600.0)
    rig = Slow(Limits(preparing=1, waiting=2))
    async with rig.server.serve("127.0.0.1:0") as rig.port, AsyncExitStack() as stack:
        old = await stack.enter_async_context(rig.client(DELTA))
        await greet(old, "old")
        storm = [await stack.enter_async_context(rig.client(DELTA)) for _ in range(4)]
        for number, client in enumerate(storm):
            await client.say(delta_request(CLUSTER, node=str(number)))
            if number == 0:
                await rig.until_preparing()
            elif number < 3:
                await rig.until_waiting(number)
        code, details = await storm[3].end()
        assert code is EXHAUSTED
        assert "2 streams wait" in details
        await still_served(rig, old)
        rig.go.set()
        for client in storm[:3]:
            await client.hear()
        assert [node.id for node in rig.nodes] == ["old", "0", "1", "2"]


async def test_a_stream_that_takes_long_to_prepare_does_not_keep_the_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission_control, "PREPARING", 0.01)
    rig = Slow(Limits(preparing=1, waiting=2))
    async with (
        rig.server.serve("127.0.0.1:0") as rig.port,
        rig.client(DELTA) as slow,
        rig.client(DELTA) as other,
    ):
        await slow.say(delta_request(CLUSTER, node="slow"))
        await rig.until_preparing()
        await greet(other, "old")
        rig.go.set()
        await slow.hear()


async def test_who_leaves_the_line_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission_control, "PREPARING", 3600.0)
    rig = Slow(Limits(preparing=1, waiting=1))
    async with rig.server.serve("127.0.0.1:0") as rig.port, rig.client(DELTA) as first:
        await first.say(delta_request(CLUSTER, node="first"))
        await rig.until_preparing()
        async with rig.client(DELTA) as leaves:
            await leaves.say(delta_request(CLUSTER, node="leaves"))
            await rig.until_waiting(1)
        await rig.until_waiting(0)
        async with rig.client(DELTA) as last:
            await last.say(delta_request(CLUSTER, node="last"))
            await rig.until_waiting(1)
            rig.go.set()
            await last.hear()
        assert [node.id for node in rig.nodes] == ["first", "last"]
