"""``meltemi serve`` on the event loop that operators may choose instead of Python's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import standalone_envoy

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy


def rules(port: int, target: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shop}}
spec:
  hosts: [shop.example]
  resolution: STATIC
  ports: [{{number: {port}, name: tcp-dubbo, protocol: TCP}}]
  endpoints: [{{address: 127.0.0.1, ports: {{tcp-dubbo: {target}}}}}]
"""


async def test_rules_reach_calls_on_uvloop_and_the_end_is_orderly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELTEMI_EVENT_LOOP", "uvloop")
    port, file = free_port(), tmp_path / "shop.yaml"
    async with DubboServer("v1") as v1, DubboServer("v2") as v2:
        file.write_text(rules(port, v1.address.port))
        async with MeltemiProcess(file) as meltemi, standalone_envoy(meltemi.xds) as envoy:
            await envoy.wait_ready()
            async with await DubboClient.open(Address(LOOPBACK, port)) as client:
                assert (await client.call("demo.Greeter", "hello")).value == "v1"
                file.write_text(rules(port, v2.address.port))
                while (await client.call("demo.Greeter", "hello")).value != "v2":
                    pass
            assert await meltemi.terminate() == 0
