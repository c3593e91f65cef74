"""A real Envoy gives every endpoint its share, also where the destinations of a split overlap."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack

import pytest

from meltemi.protocols.model import Destination, Endpoint
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.ports import Address
from tests import make
from tests.abilities import Seen, saw
from tests.envoy.serving import BIND, served

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize(
    ("destinations", "expected"),
    [
        ((make.to("v1", 80), make.to("v2", 20)), {"v1": 80, "v2": 20}),
        ((make.to("", 90), make.to("v2", 10)), {"v1": 45, "v2": 55}),
        ((make.to("v1", 90), make.to("", 10)), {"v1": 95, "v2": 5}),
    ],
)
async def test_calls_are_shared_as_the_weights_say(
    destinations: tuple[Destination, ...], expected: dict[str, int]
) -> None:
    draft, service = make.Draft(), make.service()
    async with AsyncExitStack() as closing:
        servers = [
            await closing.enter_async_context(DubboServer(version)) for version in make.VERSIONS
        ]
        for thing in (service, make.policy(), make.rule(make.route(0, *destinations))):
            draft.put(thing)
        draft.place(
            service,
            *(
                Endpoint(at.address.host, {make.PORT: at.address.port}, {"version": at.version})
                for at in servers
            ),
        )
        snapshot = make.snapshot(draft.mesh, make.group(bind=BIND))
        on = await closing.enter_async_context(served(snapshot))
        await on.envoy.wait_ready()
        opening = DubboClient.open(Address(BIND, make.PORT))
        client = await closing.enter_async_context(await opening)
        answers = [await client.call("demo.Greeter", "hello") for _ in range(200)]
        # The choice of a locality is deterministic but for where it begins: exact to a call.
        found = Counter(str(answer.value) for answer in answers)
        assert found.keys() == expected.keys()
        assert found["v1"] == pytest.approx(2 * expected["v1"], abs=1)
        await saw(on.envoy, "dubbo", Seen.SHARES)
