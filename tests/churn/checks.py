"""What must hold when nothing has changed for a moment."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from meltemi.testing.ports import Address
from tests.churn.holding import differences, holds, node_of, should_hold
from tests.churn.traffic import caller
from tests.churn.world import side_port

if TYPE_CHECKING:
    from pathlib import Path

    from meltemi.testing.envoy import Envoy
    from tests.churn.world import World

POLL_S = 0.2

_NEVER = re.compile(r"(^|\.)(update_rejected|init_fetch_timeout)$")
"""What is never counted: refused updates, and 15 s in which something waited in vain."""

_WARMING = ("cluster_manager.warming_clusters", "listener_manager.total_listeners_warming")


class Checks:
    """Holds an Envoy against the files. Each check gives complaints; none means that all is well.

    ``patience_s``: how long Envoy may take until it holds what it should.
    """

    def __init__(self, rules: Path, bind: str, *, delta: bool, patience_s: float) -> None:
        self._rules = rules
        self._bind = bind
        self._delta = delta
        self._patience_s = patience_s

    async def of(self, envoy: Envoy, world: World) -> list[str]:
        """Everything, once Envoy holds what it should, or the patience is over."""
        complaints = await self._until_equal(envoy)
        stats = await envoy.stats()
        complaints += [
            f"{name} is {value}"
            for name, value in stats.items()
            if value and (_NEVER.search(name) or name in _WARMING)
        ]
        complaints += await self._sides(world)
        return complaints

    async def _until_equal(self, envoy: Envoy) -> list[str]:
        node = await node_of(envoy)
        should = await asyncio.to_thread(should_hold, self._rules, node, delta=self._delta)
        found: list[str] = []
        try:
            async with asyncio.timeout(self._patience_s):
                # Another process cannot set an event of ours.
                while found := differences(  # noqa: ASYNC110
                    should, await holds(envoy, delta=self._delta)
                ):
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            return found
        return []

    async def _sides(self, world: World) -> list[str]:
        """A call to each service that has come and has servers."""
        complaints: list[str] = []
        for number, side in world.sides.items():
            if not side.listed:
                continue
            at = Address(self._bind, side_port(number))
            try:
                async with asyncio.timeout(5), caller(side.protocol, at)() as ask:
                    await ask()
            except Exception as error:
                complaints.append(f"a call to side-{number} ({side.protocol}) failed: {error!r}")
        return complaints
