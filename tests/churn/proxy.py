"""The Envoy of a cell: it may start anew, and calls run only while it serves."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, cast

from meltemi.controller.bootstrap import Wish, bootstrap
from meltemi.testing.envoy import Envoy

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from meltemi.controller.proto_json import Json
    from meltemi.testing.ports import Address

DRAIN_S = 1
"""How long connections of a replaced listener live on, and clusters with them."""

PATIENCE_S = 30.0


class Proxy:
    """``async with`` for its end. ``bind``: the address of its listeners. ``traffic`` is what runs
    between ``open`` and ``stop``.
    """

    def __init__(
        self,
        version: str,
        bind: str,
        *,
        sotw: bool,
        unified: bool,
        traffic: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self._version = version
        self._bind = bind
        self._sotw = sotw
        self._unified = unified
        self._traffic = traffic
        self._closing = AsyncExitStack()
        self._envoy: Envoy | None = None

    async def __aenter__(self) -> Proxy:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    @property
    def envoy(self) -> Envoy:
        """The one that runs."""
        assert self._envoy is not None, "it was not started"
        return self._envoy

    async def start(self, xds: Address) -> None:
        """Start an Envoy and wait until it is ready."""
        document = bootstrap_for(xds, self._bind, sotw=self._sotw, unified=self._unified)
        self._envoy = Envoy(document, version=self._version, drain_time_s=DRAIN_S)
        await self._closing.enter_async_context(self._envoy)
        await self._envoy.wait_ready(PATIENCE_S)

    async def open(self) -> None:
        """Let calls begin."""
        await self._closing.enter_async_context(self._traffic())

    async def stop(self) -> None:
        """End it. Clients know: their calls end before."""
        await self._closing.aclose()

    async def until_connected(self) -> None:
        """Wait until it has found its control plane, perhaps again."""
        await self.envoy.process.wait_until(self._is_connected, "connect again", PATIENCE_S)

    async def _is_connected(self) -> bool:
        name = "control_plane.connected_state"
        return (await self.envoy.stats(name)).get(name) == 1


def bootstrap_for(xds: Address, bind: str, *, sotw: bool, unified: bool) -> dict[str, Any]:
    """What an operator would start Envoy with, and which of its two xDS clients it shall use."""
    metadata: dict[str, Json] = {"drainSeconds": DRAIN_S, "bind": bind}
    wish = Wish(xds.host, xds.port, "envoy", metadata, sotw)
    document = cast("dict[str, Any]", bootstrap(wish).document)
    if unified:
        static = {"envoy.reloadable_features.unified_mux": True}
        document["layered_runtime"]["layers"][0]["static_layer"] = static
    return document
