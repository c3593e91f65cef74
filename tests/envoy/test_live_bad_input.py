"""What is wrong harms nothing that is right: calls run on, and somebody is told."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import grpc
import grpc.aio
import pytest

from meltemi.protocols.dubbo import Dubbo
from meltemi.protocols.registry import Registry, load
from meltemi.testing.ports import free_port
from meltemi.testing.standalone import embedded_meltemi
from meltemi.testing.xds_client import delta_request, sotw_request
from meltemi.xds.resource import CLUSTER
from meltemi.xds.server import AGGREGATED
from tests.envoy.rig import PATIENCE_S, entry, route, save, share, staged, trouble

if TYPE_CHECKING:
    from pathlib import Path

    from meltemi.protocols.api import Compiled, Engine, Scope
    from meltemi.testing.ports import Address

pytestmark = pytest.mark.envoy

CONNECTED = "control_plane.connected_state"


async def test_a_broken_document_under_load_is_told_with_its_place_and_harms_nothing(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, "dubbo", route(v1=100)) as stage:
        path = tmp_path / "rules.yaml"
        good = path.read_text()
        for code, culprit in {"MEL0101": "weight: @100", "MEL0102": "weight: all"}.items():
            # To v2, if anything of it were in force.
            broken = good.replace("subset: v1", "subset: v2").replace("weight: 100", culprit)
            path.write_text(broken)
            (finding,) = await stage.until_found(code)
            assert finding["severity"] == "error"
            assert finding["file"] == str(path)
            assert culprit in broken.splitlines()[finding["line"] - 1]
            assert finding["cause"]
            assert finding["next_step"]
            assert share(await stage.calls(100), "v1") == 1
            path.write_text(good)
            await stage.until_found()
        stage.save_rules(route(v2=100))
        await stage.answered_by("v2")
        assert trouble(stage.load.report()) == {}


async def test_of_two_listeners_on_one_address_the_first_serves_and_the_second_is_told(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, "dubbo", route(v1=100)) as stage:
        host = "twin.example"
        clash = entry("dubbo", stage.port, {"v2": stage.servers["v2"].address}, host)
        save(tmp_path / "twin.yaml", clash)
        (finding,) = await stage.until_found("MEL0208")
        assert (finding["kind"], finding["name"]) == ("ServiceEntry", "twin")
        assert finding["file"] == str(tmp_path / "twin.yaml")
        assert set(await stage.envoy.listeners()) == {f"greeter.example_{stage.port}"}
        assert share(await stage.calls(100), "v1") == 1
        assert trouble(stage.load.report()) == {}
        (tmp_path / "service.yaml").unlink()
        await stage.until_stat("listener_manager.listener_removed", lambda now: now == 1)
        assert set(await stage.envoy.listeners()) == {f"{host}_{stage.port}"}


async def end_of_stream(at: Address, method: str, request: bytes) -> grpc.StatusCode:
    """How the server ends a stream that begins with this request."""
    async with grpc.aio.insecure_channel(str(at)) as channel:
        # grpc's stubs make a call generic in what the serializers would be.
        call = cast("Any", channel).stream_stream(f"/{AGGREGATED}/{method}")()
        await call.write(request)
        async with asyncio.timeout(PATIENCE_S):
            code: grpc.StatusCode = await call.code()
        return code


async def noise(at: Address, sent: bytes) -> None:
    """Say something that is no HTTP/2 and wait until the server hangs up."""
    reader, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(sent)
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
    writer.close()


async def test_who_does_not_speak_the_protocol_is_refused_and_others_notice_nothing(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, "dubbo", route(v1=100)) as stage:
        at = stage.meltemi.xds
        nameless = {
            "StreamAggregatedResources": sotw_request(CLUSTER),
            "DeltaAggregatedResources": delta_request(CLUSTER),
        }
        for method, request in nameless.items():
            ended = await end_of_stream(at, method, request)
            assert ended is grpc.StatusCode.INVALID_ARGUMENT
            ended = await end_of_stream(at, method, b"\xff\xff\xff")
            assert ended is grpc.StatusCode.INVALID_ARGUMENT
        chance = random.Random(1)
        for _ in range(20):
            await noise(at, chance.randbytes(4096))
        await noise(at, b"GET /readyz HTTP/1.1\r\nHost: meltemi\r\n\r\n")
        assert (await stage.envoy.stats(CONNECTED))[CONNECTED] == 1
        stage.save_rules(route(v2=100))
        await stage.answered_by("v2")
        assert trouble(stage.load.report()) == {}


class Moody(Dubbo):
    """Cannot stand a method."""

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        if any(resolved.route.name == "to-anger" for resolved in scope.routes):
            raise ZeroDivisionError("not again")
        return super().compile(scope, engine)


async def test_a_plugin_that_raises_stops_only_the_service_that_it_raised_for(
    tmp_path: Path,
) -> None:
    others = [entry for entry in load() if entry.plugin.name != "dubbo"]
    (dubbo,) = [entry for entry in load() if entry.plugin.name == "dubbo"]
    registry = Registry([*others, replace(dubbo, plugin=Moody(), distribution="moody-dubbo")])
    async with staged(
        tmp_path, "dubbo", route(v1=100), serve=lambda rules: embedded_meltemi(rules, registry)
    ) as stage:
        stage.save_rules(route("anger", v1=100), route(v2=100))
        other = free_port()
        endpoints = {"v2": stage.servers["v2"].address}
        save(tmp_path / "other.yaml", entry("dubbo", other, endpoints, "other.example"))
        await stage.until_stat("listener_manager.listener_create_success", lambda now: now == 2)
        assert share(await stage.calls(100), "v1") == 1
        (finding,) = stage.plane.findings
        assert finding.problem.code == "MEL0502"
        assert "moody-dubbo" in finding.problem.cause
        stage.save_rules(route(v2=100))
        await stage.answered_by("v2")
        assert stage.plane.findings == ()
        assert trouble(stage.load.report()) == {}
