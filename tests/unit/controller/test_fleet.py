"""Proxies of one kind share a group, and nothing is kept for kinds that nobody is of any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from meltemi.controller import fleet
from meltemi.controller.fleet import Fleet
from meltemi.protocols.group import Group, GroupKey
from meltemi.xds.limits import LimitError
from meltemi.xds.peer import Peer
from meltemi.xds.wire import Node
from tests import make

if TYPE_CHECKING:
    from meltemi.controller.loop import Loop

PEER = Peer("ipv4:127.0.0.1:1")


class FakeLoop:
    """Compiles when it is told to, and knows what is compiled."""

    def __init__(self) -> None:
        self.compiled: set[GroupKey] = set()
        self.go = asyncio.Event()
        self.go.set()

    async def open(self, key: GroupKey) -> Group:
        self.compiled.add(key)
        await self.go.wait()
        return Group(key)

    def close(self, key: GroupKey) -> None:
        self.compiled.remove(key)


class Rig:
    """A fleet, whose streams are strings."""

    def __init__(self, most: int = 10) -> None:
        self.loop = FakeLoop()
        self.fleet = Fleet(make.registry(), cast("Loop", self.loop), most=most)

    async def join(self, kind: str) -> Any:
        node = Node("proxy", "", {"meltemi": {"services": [f"default/{kind}"]}})
        return await self.fleet.join(node, PEER)


async def settled() -> None:
    """Timers that are due have run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_proxies_of_one_kind_share_a_group_and_of_another_do_not() -> None:
    rig = Rig()
    one, same, other = await rig.join("a"), await rig.join("a"), await rig.join("b")
    assert one is same
    assert one is not other
    assert len(rig.loop.compiled) == 2


async def test_a_kind_that_nobody_is_of_any_more_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "IDLE", 0.0)
    rig = Rig()
    streams = await rig.join("a")
    streams.add("stream")
    await settled()
    assert len(rig.loop.compiled) == 1
    streams.remove("stream")
    await settled()
    assert rig.loop.compiled == set()
    assert len(await rig.join("a")) == 0


async def test_a_proxy_that_is_gone_before_its_group_is_compiled_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "IDLE", 0.0)
    rig = Rig()
    rig.loop.go.clear()
    joining = [asyncio.create_task(rig.join("a")) for _ in range(2)]
    await settled()
    joining[0].cancel()
    await settled()
    assert len(rig.loop.compiled) == 1  # somebody still waits for it
    joining[1].cancel()
    await settled()
    assert rig.loop.compiled == set()


async def test_as_many_kinds_as_the_limit_are_served_and_one_more_is_told_why_not() -> None:
    rig = Rig(most=2)
    for kind in "ab":
        (await rig.join(kind)).add("stream")
    with pytest.raises(LimitError, match="proxies of 2 kinds") as caught:
        await rig.join("c")
    assert caught.value.limit == "groups"
    assert len(await rig.join("a")) == 1


async def test_kinds_without_proxies_make_room_before_anybody_is_refused() -> None:
    rig = Rig(most=2)
    (await rig.join("a")).add("stream")
    idle = await rig.join("b")
    idle.add("stream")
    idle.remove("stream")
    (await rig.join("c")).add("stream")
    assert len(rig.loop.compiled) == 2
    with pytest.raises(LimitError):
        await rig.join("b")
