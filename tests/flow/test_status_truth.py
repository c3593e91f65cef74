"""Whatever happens, a status claims nothing that is not so, and in the end says what is."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.xds.product import Memory
from meltemi.controller.plane import ControlPlane
from meltemi.controller.settings import Settings
from meltemi.controller.store.objects import Identity
from meltemi.controller.tuning import Tuning
from meltemi.protocols.model import Ref
from meltemi.protocols.registry import load
from tests.simulated import PEER, Proxy, node

if TYPE_CHECKING:
    from meltemi.xds.group import Group
    from meltemi.xds.resource import Resource

NAMES = ("a", "b", "c")
PATIENCE = 20.0
STEPS = 60


def service(name: str, number: int) -> dict[str, Any]:
    labels = ({"version": "v1"}, {"version": "v2"})
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": name},
        "spec": {
            "hosts": [f"{name}.example"],
            "resolution": "STATIC",
            "ports": [{"number": 20880 + NAMES.index(name), "name": "tcp-dubbo"}],
            "endpoints": [
                {"address": f"10.0.{number % 200}.{i}", "labels": label}
                for i, label in enumerate(labels, 1)
            ],
        },
    }


def subsets(name: str) -> dict[str, Any]:
    listed = [{"name": version, "labels": {"version": version}} for version in ("v1", "v2")]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": name},
        "spec": {"host": f"{name}.example", "subsets": listed},
    }


def rule(name: str, generation: int, *, split: bool) -> dict[str, Any]:
    weights = {"v1": 50, "v2": 50} if split else {"v1": 100}
    route = [
        {"destination": {"host": f"{name}.example", "subset": subset}, "weight": weight}
        for subset, weight in weights.items()
    ]
    match = {"attributes": {"method": {"exact": f"m{generation}"}}}
    return {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"name": name, "generation": generation},
        "spec": {
            "hosts": [f"{name}.example"],
            "routes": [{"name": f"r{generation % 3}", "match": match, "route": route}],
        },
    }


class World:
    """Proxies that accept, refuse, come and go as chance has it, while rules change."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)
        self._numbers = count(1)
        objects = [each for name in NAMES for each in (service(name, 0), subsets(name))]
        self._memory = Memory([*objects, *(rule(name, 1, split=False) for name in NAMES)])
        tuning = Tuning(hold_off=0, hold_off_longest=0)
        self.plane = ControlPlane(load(), self._memory, Settings(tuning=tuning))
        self.proxies: dict[Proxy, Group] = {}
        self.generations: Counter[str] = Counter(dict.fromkeys(NAMES, 1))

    async def begin(self) -> None:
        await self._memory.read.wait()
        for _ in range(3):
            await self.come()

    async def come(self) -> None:
        described = node(f"edge-{self._chance.randrange(4)}")
        group = await self.plane.join(described, PEER)
        proxy = Proxy(self.plane, next(self._numbers), described, group)
        self.proxies[proxy] = group
        proxy.begin()

    async def write(self, name: str) -> None:
        """Change a rule, and wait until that is published."""
        self.generations[name] += 1
        split = self._chance.random() < 0.5
        self._memory.put(rule(name, self.generations[name], split=split))
        async with asyncio.timeout(PATIENCE):
            watch = self.plane.statuses.watch()
            while self.status(name).observed_generation != self.generations[name]:
                watch.take()
                await watch.wait()

    async def step(self) -> None:
        chance, proxies = self._chance.random(), [*self.proxies]
        proxy = self._chance.choice(proxies) if proxies else None
        name = self._chance.choice(NAMES)
        if chance < 0.05:
            self._memory.put(service(name, next(self._numbers)))
        elif chance < 0.25:
            await self.write(name)
        elif chance < 0.3 or proxy is None:
            await self.come()
        elif chance < 0.33:
            del self.proxies[proxy]
            proxy.close()
        elif chance < 0.6:
            proxy.now += 1.5
            proxy.listen()
        elif proxy.heard:
            # Answers are in order within a type.
            type_url = self._chance.choice(proxy.heard).type_url
            response = next(each for each in proxy.heard if each.type_url == type_url)
            if chance < 0.65:
                proxy.refuse(response, "no")
            else:
                proxy.accept(response)

    def status(self, name: str) -> Any:
        return self.plane.statuses.current(
            Identity("metaprotocol.aeraki.io", "MetaRouter", "default", name)
        )

    def reason(self, name: str) -> str:
        (found,) = [each for each in self.status(name).conditions if each.type == "Programmed"]
        reason: str = found.reason
        return reason

    def has_all(self, proxy: Proxy, name: str) -> bool:
        """Whether a proxy has accepted everything of a rule, as it is now."""
        of_rule = (each for each in self._resources(proxy) if _is_from(each, name))
        return all(proxy.has.get(each.key) == each.version for each in of_rule)

    def _resources(self, proxy: Proxy) -> list[Resource]:
        snapshot = self.proxies[proxy].snapshot
        return [each for kind in snapshot.types() for each in snapshot.of_type(kind).values()]


def _is_from(resource: Resource, name: str) -> bool:
    return any(
        isinstance(each, Ref) and (each.kind, each.name) == ("MetaRouter", name)
        for each in resource.origins
    )


@pytest.mark.parametrize("seed", range(6))
async def test_programmed_is_claimed_only_if_all_have_it_and_is_when_they_do(seed: int) -> None:
    world = World(seed)
    async with world.plane.running("127.0.0.1:0"):
        await world.begin()
        seen: set[str] = set()
        for _ in range(STEPS):
            await world.step()
            for name in NAMES:
                reason = world.reason(name)
                seen.add(reason)
                if reason == "Programmed":
                    assert all(world.has_all(proxy, name) for proxy in world.proxies)
                rollout = world.status(name).rollout
                parts = rollout.acked, rollout.nacked, rollout.pending, rollout.unsupported
                assert rollout.proxies == sum(parts)
        assert "Pending" in seen
        if not world.proxies:
            await world.come()
        for name in NAMES:  # what was refused of a rule is mended; a listener stays refused
            await world.write(name)
        for proxy in world.proxies:
            proxy.now += 100
            proxy.live()
        assert {world.reason(name) for name in NAMES} <= {
            "Programmed",
            "ProxyRejected",
            "PartiallyRejected",
        }
