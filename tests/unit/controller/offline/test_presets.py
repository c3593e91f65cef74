"""Presets against the builds that they stand for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import pytest

from meltemi.controller.bootstrap import Wish, bootstrap
from meltemi.controller.nodes import profile
from meltemi.controller.offline.presets import PRESETS, UnknownPresetError, preset, type_urls
from meltemi.protocols.foreign import KAFKA_BROKER, META_PROTOCOL_PROXY
from meltemi.protocols.registry import load
from meltemi.testing.envoy import Envoy
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.xds.wire import Node, delta_node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.mark.parametrize("name", PRESETS)
def test_a_stock_envoy_has_every_engine_of_ours_but_those_of_other_builds(name: str) -> None:
    registry = load()
    capability = profile(preset(name), registry).group.target.capability
    assert capability.version == PRESETS[name]
    assert capability.extensions == registry.extensions - {META_PROTOCOL_PROXY, KAFKA_BROKER}


def test_a_preset_has_the_runtime_layer_of_a_bootstrap_of_ours() -> None:
    assert profile(preset(), load()).group.target.rtds


def test_an_unknown_preset_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UnknownPresetError, match=r"no preset 'envoy-9'; there are: .*envoy-1\.40"):
        preset("envoy-9")


class _Listening(grpc.GenericRpcHandler):
    """Takes the first request of whatever stream is opened, and answers nothing."""

    def __init__(self) -> None:
        self.first: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def service(self, handler_call_details: object) -> Any:
        handle = cast("Any", grpc).stream_stream_rpc_method_handler
        return handle(self._listen)

    async def _listen(self, requests: AsyncIterator[bytes], _: object) -> None:
        async for request in requests:
            if not self.first.done():
                self.first.set_result(request)


async def _node_of_a_real_envoy(version: str) -> Node:
    listening = _Listening()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((listening,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Envoy(bootstrap(Wish("127.0.0.1", port, "stock")).document, version=version):
            async with asyncio.timeout(20):
                return delta_node(await listening.first)
    finally:
        await server.stop(None)


@pytest.mark.envoy
@pytest.mark.parametrize(("name", "version"), [*zip(PRESETS, ENVOY_VERSIONS, strict=True)])
async def test_the_preset_lists_what_a_real_envoy_lists(name: str, version: str) -> None:
    real = await _node_of_a_real_envoy(version)
    assert real.version == PRESETS[name]
    assert type_urls(name) == real.type_urls
    assert real.metadata == preset(name).metadata
