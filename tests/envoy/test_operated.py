"""What an operator sees of a real Envoy: what it refuses, in its own words, until it accepts."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import standalone_envoy
from meltemi.xds.csds import SERVICE
from tests.envoy.rig import PATIENCE_S, entry, route, rule, save, subsets

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy

# xds-protos has no type stubs.
official: Any = import_module("envoy.service.status.v3.csds_pb2")

BACKENDS = {"v1": Address("127.0.0.1", 1)}
LISTENER = "envoy.config.listener.v3.Listener"
NACKS = f'meltemi_xds_nacks_total{{type="{LISTENER}"}}'


async def command(meltemi: MeltemiProcess) -> tuple[int, dict[str, Any]]:
    """``meltemi proxies -o json`` in a process of its own: exit code, and rows by type."""
    words = ("-m", "meltemi", "proxies", "envoy", "--server", f"http://{meltemi.admin}", "-ojson")
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, {row["type"]: row for row in json.loads(printed or b"[]")}


async def until(meltemi: MeltemiProcess, kind: str, state: str) -> tuple[int, dict[str, Any]]:
    """Wait until a type of the proxy is in this state."""
    shown: list[tuple[int, dict[str, Any]]] = []

    async def holds() -> bool:
        shown[:] = [await command(meltemi)]
        return bool(shown[0][1].get(kind, {}).get("state") == state)

    await meltemi.process.wait_until(holds, f"say {state} of {kind}", PATIENCE_S)
    return shown[0]


async def csds(meltemi: MeltemiProcess) -> dict[str, Any]:
    """What client status discovery tells of every listener."""
    async with grpc.aio.insecure_channel(str(meltemi.xds)) as opened:
        channel: Any = opened  # grpc's stubs make a call generic in what serializers would be
        fetch = channel.unary_unary(f"/{SERVICE}/FetchClientStatus")
        async with asyncio.timeout(PATIENCE_S):
            raw = await fetch(official.ClientStatusRequest().SerializeToString())
    (config,) = official.ClientStatusResponse.FromString(raw).config
    return {each.name: each for each in config.generic_xds_configs if LISTENER in each.type_url}


async def metric(meltemi: MeltemiProcess, series: str) -> float:
    """The value of one series."""
    page = (await meltemi.get("/metrics")).body.decode()
    (line,) = [line for line in page.splitlines() if line.startswith(f"{series} ")]
    return float(line.removeprefix(f"{series} "))


async def test_what_envoy_refuses_is_told_everywhere_until_it_accepts(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        save(tmp_path / "service.yaml", entry("dubbo", port, BACKENDS))
        save(tmp_path / "rules.yaml", subsets("v1"), rule(route(v1=100)))
        async with (
            MeltemiProcess(tmp_path) as meltemi,
            standalone_envoy(meltemi.xds) as envoy,
        ):
            code, rows = await until(meltemi, "Listener", "NACKED")
            assert code == 1
            name = f"greeter.example_{port}"
            assert rows["Listener"]["reason"].startswith("Error adding/updating listener(s) ")
            assert name in rows["Listener"]["reason"]
            assert "Address already in use" in rows["Listener"]["reason"]
            assert "ServiceEntry default/greeter spec.ports[0]" in rows["Listener"]["origins"]
            assert rows["Cluster"]["state"] == "ACKED"
            assert rows["generic_proxy RouteConfiguration"]["state"] in {"ACKED", "NOT SUBSCRIBED"}
            refused = (await csds(meltemi))[name]
            assert refused.config_status == official.ConfigStatus.ERROR
            assert "Address already in use" in refused.error_state.details
            assert await metric(meltemi, NACKS) == 1

            assert await metric(meltemi, "meltemi_convergence_seconds_count") == 0

            other = free_port()
            save(tmp_path / "service.yaml", entry("dubbo", other, BACKENDS))
            code, rows = await until(meltemi, "Listener", "ACKED")
            assert (code, rows["Listener"]["reason"]) == (0, "")
            accepted = await csds(meltemi)
            assert accepted.keys() == {f"greeter.example_{other}"}
            assert {each.config_status for each in accepted.values()} == {
                official.ConfigStatus.SYNCED
            }
            assert await metric(meltemi, NACKS) == 1
            assert await metric(meltemi, "meltemi_convergence_seconds_count") == 1
            assert set(await envoy.listeners()) == {f"greeter.example_{other}"}
