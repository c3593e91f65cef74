"""A proxy that never says whether its clusters are warm waits for a bounded time, and alone."""

from __future__ import annotations

import pytest

from meltemi.testing.resources import ROUTE, cluster, route
from meltemi.testing.xds_client import Response, delta_request, sotw_request
from meltemi.xds.release import PATIENCE
from meltemi.xds.resource import CLUSTER
from tests.flow.xds_rig import DELTA, SOTW, Client, serving

WARMING = 3.0


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Proxy:
    """Asks for all clusters and for routes by name, in either dialect."""

    def __init__(self, client: Client, method: str, node: str) -> None:
        self._client = client
        self._sotw = method == SOTW
        self._node = node

    async def join(self) -> None:
        """Have a cluster and a route, and accept both."""
        request = sotw_request if self._sotw else delta_request
        await self._client.say(request(CLUSTER, node=self._node))
        await self.accept(await self.hear())
        await self._client.say(request(ROUTE, ["r", "fence"]))
        await self.accept(await self.hear())

    async def hear(self) -> Response:
        return await self._client.hear()

    async def accept(self, response: Response) -> None:
        names = ["r", "fence"] if response.type_url == ROUTE else []
        await self._client.say(
            sotw_request(response.type_url, names, nonce=response.nonce)
            if self._sotw
            else delta_request(response.type_url, nonce=response.nonce)
        )


@pytest.mark.parametrize("method", [SOTW, DELTA], ids=["sotw", "delta"])
async def test_a_proxy_that_never_answers_gets_the_route_after_the_limit_and_delays_nobody(
    method: str,
) -> None:
    clock = Clock()
    async with serving(clock=clock) as rig, rig.client(method) as one, rig.client(method) as two:
        silent, other = Proxy(one, method, "silent"), Proxy(two, method, "other")
        await silent.join()
        await other.join()
        rig.publish(cluster("b", warming=WARMING), route("r", "b", content="2"))
        assert (await silent.hear()).type_url == CLUSTER
        await other.accept(await other.hear())
        assert (await other.hear()).bodies == (b"r=2",)
        clock.now += WARMING + PATIENCE - 0.01
        rig.publish(route("fence"))
        fence = await silent.hear()
        assert fence.bodies == (b"fence=1",)
        clock.now += 0.01
        await silent.accept(fence)  # and the server looks at its clock
        assert (await silent.hear()).bodies == (b"r=2",)
