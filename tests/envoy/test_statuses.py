"""What the status of a rule says of a real Envoy: its own words while it refuses, and no longer."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from meltemi.controller.admin.server import serve_admin
from meltemi.protocols.dubbo import Dubbo
from meltemi.protocols.registry import Registry, load
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import embedded_meltemi, standalone_envoy
from tests.envoy.rig import PATIENCE_S, entry, route, rule, save, subsets

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from meltemi.protocols.api import Compiled, Engine, Scope

pytestmark = pytest.mark.envoy

BACKENDS = {"v1": Address(LOOPBACK, 1)}


async def wait(admin: str, *words: str) -> dict[str, Any]:
    """``meltemi wait metarouter/greeter`` in a process of its own, and the row that it prints."""
    command = ["-m", "meltemi", "wait", "metarouter/greeter", "--server", f"http://{admin}"]
    command += ["--timeout", f"{PATIENCE_S:.0f}s", "-o", "json", *words]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(2 * PATIENCE_S):
        printed, _ = await process.communicate()
    (row,) = json.loads(printed)
    assert process.returncode == (0 if row["reached"] else 1)
    found: dict[str, Any] = row
    return found


async def test_a_rule_is_programmed_when_envoy_has_it_and_not_while_its_port_is_taken(
    tmp_path: Path,
) -> None:
    save(tmp_path / "service.yaml", entry("dubbo", free_port(), BACKENDS))
    save(tmp_path / "rules.yaml", subsets("v1"), rule(route(v1=100)))
    with socket.create_server((LOOPBACK, 0)) as taken:
        async with MeltemiProcess(tmp_path) as meltemi:
            admin = str(meltemi.admin)
            nobody = await wait(admin, "--timeout", "0s")
            assert (nobody["status"], nobody["reason"]) == ("False", "NoProxies")
            async with standalone_envoy(meltemi.xds):
                assert (await wait(admin))["reached"]
                save(tmp_path / "service.yaml", entry("dubbo", taken.getsockname()[1], BACKENDS))
                refused = await wait(admin, "--for", "condition=Programmed=False")
                while refused["reason"] == "Pending":
                    refused = await wait(admin, "--for", "condition=Programmed=False")
                assert refused["reason"] == "ProxyRejected"
                assert "envoy says: Error adding/updating listener(s)" in refused["message"]
                assert "Address already in use; free the port" in refused["message"]
                save(tmp_path / "service.yaml", entry("dubbo", free_port(), BACKENDS))
                assert (await wait(admin))["reached"]


class Wrong(Dubbo):
    """Gives a table of routes another name where a route is named so."""

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        compiled = super().compile(scope, engine)
        table = compiled.route_table
        assert table is not None
        if all(resolved.route.name != "to-anger" for resolved in scope.routes):
            return compiled
        message: Any = table.message
        return replace(compiled, route_table=replace(table, message=replace(message, name="wrong")))


@asynccontextmanager
async def wrong(folder: Path) -> AsyncGenerator[tuple[Address, str]]:
    """Where proxies find a Meltemi with that plugin, and its admin port."""
    others = [each for each in load() if each.plugin.name != "dubbo"]
    (dubbo,) = [each for each in load() if each.plugin.name == "dubbo"]
    registry = Registry([*others, replace(dubbo, plugin=Wrong())])
    async with (
        embedded_meltemi(folder, registry) as meltemi,
        serve_admin(meltemi.plane, LOOPBACK, 0) as port,
    ):
        yield meltemi.xds, f"{LOOPBACK}:{port}"


async def test_a_rule_that_envoy_refuses_has_envoys_words_until_it_is_mended(
    tmp_path: Path,
) -> None:
    save(tmp_path / "service.yaml", entry("dubbo", free_port(), BACKENDS))
    save(tmp_path / "rules.yaml", subsets("v1"), rule(route(v1=100)))
    async with wrong(tmp_path) as (xds, admin), standalone_envoy(xds):
        assert (await wait(admin))["reached"]
        save(tmp_path / "rules.yaml", subsets("v1"), rule(route("anger", v1=100)))
        refused = await wait(admin, "--for", "condition=Programmed=False")
        while refused["reason"] == "Pending":
            refused = await wait(admin, "--for", "condition=Programmed=False")
        assert refused["reason"] == "ProxyRejected"
        assert "envoy says: " in refused["message"]
        assert "wrong" in refused["message"]
        save(tmp_path / "rules.yaml", subsets("v1"), rule(route(v1=100)))
        assert (await wait(admin))["reached"]
