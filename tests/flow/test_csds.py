"""Client status discovery of a running control plane, read by the official protobuf classes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from meltemi.controller.settings import Settings
from meltemi.controller.tuning import Tuning
from meltemi.testing.standalone import embedded_meltemi
from meltemi.testing.xds_client import sotw_request
from meltemi.xds import csds
from meltemi.xds.csds import SERVICE
from meltemi.xds.limits import Limits
from meltemi.xds.resource import CLUSTER
from tests.flow.operated import PATIENCE, Operated, introduce, operated
from tests.flow.xds_rig import Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

# xds-protos has no type stubs.
official: Any = import_module("envoy.service.status.v3.csds_pb2")

RULES = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart}
spec:
  hosts: [cart.example]
  resolution: STATIC
  ports: [{number: 20880, name: tcp-dubbo}]
  endpoints: [{address: 10.9.8.7}]
"""
NAME = "outbound|20880||cart.example"


@asynccontextmanager
async def connected(folder: Path, *node_ids: str) -> AsyncGenerator[Operated]:
    """With proxies that were sent their clusters and have not answered."""
    (folder / "rules.yaml").write_text(RULES)
    async with operated(folder) as meltemi, AsyncExitStack() as stack:
        for node_id in node_ids:
            client = await stack.enter_async_context(meltemi.client())
            await client.say(introduce(sotw_request(CLUSTER), node_id))
            await client.hear()
        yield meltemi


async def fetch(meltemi: Operated, request: bytes) -> Any:
    async with grpc.aio.insecure_channel(str(meltemi.xds)) as opened:
        channel: Any = opened  # grpc's stubs make a call generic in what serializers would be
        async with asyncio.timeout(PATIENCE):
            raw = await channel.unary_unary(f"/{SERVICE}/FetchClientStatus")(request)
        return official.ClientStatusResponse.FromString(raw)


def asking(kind: str = "", text: str = "") -> bytes:
    """A request for everybody, or for those whose node matches in this way."""
    request = official.ClientStatusRequest()
    if kind:
        setattr(request.node_matchers.add().node_id, kind, text)
    raw: bytes = request.SerializeToString()
    return raw


def by_regex() -> bytes:
    """A request with a matcher that is not offered."""
    request = official.ClientStatusRequest()
    request.node_matchers.add().node_id.safe_regex.regex = "edge.*"
    raw: bytes = request.SerializeToString()
    return raw


async def test_everybody_is_told_with_what_was_sent_and_how_it_was_taken(tmp_path: Path) -> None:
    async with connected(tmp_path, "edge-1", "edge-2") as meltemi:
        answer = await fetch(meltemi, asking())
        assert [config.node.id for config in answer.config] == ["edge-1", "edge-2"]
        (found,) = answer.config[0].generic_xds_configs
        assert (found.type_url, found.name) == (CLUSTER, NAME)
        assert found.config_status == official.ConfigStatus.STALE
        assert NAME.encode() in found.xds_config.value


async def test_a_matcher_narrows_the_answer(tmp_path: Path) -> None:
    async with connected(tmp_path, "edge-1", "core-1") as meltemi:
        answer = await fetch(meltemi, asking("prefix", "core"))
        assert [config.node.id for config in answer.config] == ["core-1"]


async def test_contents_are_left_out_on_request(tmp_path: Path) -> None:
    request = official.ClientStatusRequest(exclude_resource_contents=True).SerializeToString()
    async with connected(tmp_path, "edge") as meltemi:
        (config,) = (await fetch(meltemi, request)).config
        (found,) = config.generic_xds_configs
        assert found.version_info
        assert not found.HasField("xds_config")


async def test_a_stream_answers_each_of_its_requests(tmp_path: Path) -> None:
    async with (
        connected(tmp_path, "edge") as meltemi,
        meltemi.client(f"/{SERVICE}/StreamClientStatus") as client,
    ):
        for wanted in ("edge", "nobody", "edge"):
            await client.say(asking("exact", wanted))
            async with asyncio.timeout(PATIENCE):
                answer = official.ClientStatusResponse.FromString(await client.call.read())
            assert [config.node.id for config in answer.config] == ["edge"] * (wanted == "edge")


@pytest.mark.parametrize("request_bytes", [b"\xff\xff\xff", by_regex()])
async def test_what_is_no_request_or_not_offered_is_told(
    tmp_path: Path, request_bytes: bytes
) -> None:
    async with connected(tmp_path) as meltemi:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await fetch(meltemi, request_bytes)
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_answer_that_would_be_too_large_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csds, "MOST", 1)
    async with connected(tmp_path, "edge-1", "edge-2") as meltemi:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await fetch(meltemi, asking())
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "node_matchers" in str(error.value.details())
        assert len((await fetch(meltemi, asking("exact", "edge-1"))).config) == 1


async def test_streams_of_tools_count_like_those_of_proxies_and_may_not_stay_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    settings = Settings(tuning=Tuning(Limits(streams_per_peer=1)))
    stream = f"/{SERVICE}/StreamClientStatus"
    async with (
        embedded_meltemi(tmp_path, settings=settings) as meltemi,
        grpc.aio.insecure_channel(str(meltemi.xds)) as channel,
        asyncio.timeout(PATIENCE),
    ):
        first = Client(channel, stream)
        await first.say(asking())
        await first.call.read()
        second = Client(channel, stream)
        assert await second.call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        monkeypatch.setattr(csds, "SILENCE", 0.01)
        await first.say(asking())
        await first.call.read()
        assert await first.call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
