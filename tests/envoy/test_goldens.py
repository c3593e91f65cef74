"""Real Envoys accept every golden for stock builds, and would have refused a wrong one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.controller.offline.presets import PRESETS
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.xds.resource import LISTENER, Key, Resource, content_version
from tests import make
from tests.abilities import Seen, saw
from tests.envoy.serving import BIND, Served, served
from tests.golden.cases import CASES, Case

if TYPE_CHECKING:
    from meltemi.xds.snapshot import Snapshot

pytestmark = pytest.mark.envoy


BUILDS = dict(zip(PRESETS, ENVOY_VERSIONS, strict=True))


def snapshot(case: Case, build: str = "") -> Snapshot:
    """What the golden shows, but for the address of its listeners; and for that build."""
    offline, group = case.compile(build)
    return offline.group(replace(group.key, bind=BIND)).snapshot


async def refusals(on: Served) -> dict[str, int]:
    """How often Envoy refused something, by its own count."""
    stats = await on.envoy.stats()
    return {name: count for name, count in stats.items() if name.endswith("rejected") and count}


@pytest.mark.parametrize(
    ("build", "case"),
    [
        pytest.param(build, case, id=f"{build}-{case}")
        for build in BUILDS
        for case in CASES
        if case.stock(build)
    ],
)
async def test_envoy_knows_and_accepts_the_golden(build: str, case: Case) -> None:
    wanted = snapshot(case, build)
    types = {key.type_url for key in make.resources(wanted)}
    async with served(wanted, version=BUILDS[build]) as on:

        async def answered() -> bool:
            acked = {event.type_url for event in on.answers.acked}
            return types <= acked or bool(on.answers.nacked)

        await on.envoy.process.wait_until(answered, "answer everything", 10.0)
        assert on.answers.nacked == []
        await on.envoy.wait_ready()
        assert await refusals(on) == {}
        # A listener is active only when its route table has arrived.
        assert (await on.envoy.listeners()).keys() == wanted.of_type(LISTENER).keys()
        await saw(on.envoy, case.path.partition("/")[0], Seen.ACCEPTED)


def spoiled(resource: Resource, right: bytes, wrong: bytes) -> Resource:
    body = resource.body.replace(right, wrong)
    assert body != resource.body
    return replace(resource, body=body, version=content_version(body))


@pytest.mark.parametrize(
    ("path", "right", "wrong"),
    [
        ("dubbo/matchers", b"t-[0-9]+", b"t-[0-9+("),
        ("thrift/headers", b"t-[0-9]+", b"t-[0-9+("),
        ("tcp/split", b"10.4.0.1", b"10.4.0.x"),
    ],
)
async def test_envoy_refuses_the_golden_with_one_wrong_value(
    path: str, right: bytes, wrong: bytes
) -> None:
    good = snapshot(Case(path))
    changes: dict[Key, Resource | None] = {
        key: spoiled(resource, right, wrong)
        for key, resource in make.resources(good).items()
        if right in resource.body
    }
    async with served(good) as on:
        await on.envoy.wait_ready()
        on.group.publish(good.replace(changes), changes)

        async def refused() -> bool:
            return len(on.answers.nacked) > 0

        await on.envoy.process.wait_until(refused, "refuse what is wrong", 10.0)
        assert await refusals(on)


async def test_an_old_envoy_refuses_a_golden_with_a_field_that_it_does_not_know() -> None:
    """So would every test above, if something newer than its Envoy were sent."""
    too_new = snapshot(Case("redis/resp3"), "envoy-1.40")
    async with served(too_new, version=BUILDS["envoy-1.36"]) as on:

        async def refused() -> bool:
            return len(on.answers.nacked) > 0

        await on.envoy.process.wait_until(refused, "refuse what is too new", 10.0)
        assert "has unknown fields" in on.answers.nacked[0].message
