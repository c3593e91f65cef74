"""Rules change in one save and a real Envoy refuses one of them: the others take effect, and only
that one is accused.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.router.v3 import Router
from envoy_data_plane.xds.type.matcher.v3 import Matcher, MatcherOnMatch

from meltemi.controller.proxies import describe
from meltemi.protocols.dubbo import Dubbo, xds_extension
from meltemi.protocols.registry import Registry, load
from meltemi.testing.dubbo import DubboServer, dubbo_caller
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.load import Load
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import EmbeddedMeltemi, embedded_meltemi, standalone_envoy
from tests.envoy.rig import (
    PATIENCE_S,
    Document,
    entry,
    from_version,
    route,
    rule,
    save,
    subsets,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from meltemi.controller.proxies import TypeRecord
    from meltemi.protocols.api import Compiled, Engine, Scope

pytestmark = pytest.mark.envoy

HOSTS: tuple[str, ...] = ("alpha", "beta", "gamma", "omega")
BAD = "beta"


class Wrong(Dubbo):
    """Where a route is named so, the action of the table is something that Envoy has, but which is
    no action.
    """

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        compiled = super().compile(scope, engine)
        table = compiled.route_table
        assert table is not None
        if all(resolved.route.name != "to-anger" for resolved in scope.routes):
            return compiled
        message: Any = table.message
        routes = Matcher(on_no_match=MatcherOnMatch(action=xds_extension("route", Router())))
        return replace(
            compiled, route_table=replace(table, message=replace(message, routes=routes))
        )


def registry() -> Registry:
    """The installed plugins, with that one instead of its own."""
    return Registry(
        replace(each, plugin=Wrong()) if each.plugin.name == "dubbo" else each for each in load()
    )


def rule_of(host: str, to: Document, port: int) -> Document:
    """A MetaRouter of one host, which leads to the servers of another at that port."""
    to["route"][0]["destination"]["port"] = {"number": port}
    document = rule(to)
    document["metadata"] = {"name": host}
    document["spec"]["hosts"] = [f"{host}.example"]
    return document


def routes_of(meltemi: EmbeddedMeltemi) -> TypeRecord:
    """Where the only proxy stands with its route tables."""
    plane = meltemi.plane
    [proxy] = describe(plane.status, plane.members(), monotonic())
    [(_, record)] = [each for each in proxy["types"].items() if "RouteConfiguration" in each[0]]
    return record


async def until_accused(meltemi: EmbeddedMeltemi, *names: str) -> None:
    """Wait until a refusal is put down to exactly these rules."""
    async with asyncio.timeout(PATIENCE_S):
        while accused(meltemi) != [*names]:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.02)


def accused(meltemi: EmbeddedMeltemi) -> list[str]:
    """The rules that a refusal by the proxy is put down to."""
    refused = (each.problem for each in meltemi.plane.findings if each.problem.code == "MEL0503")
    return [each.about.object.name for each in refused if each.about.kind == "MetaRouter"]


@pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])
@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_of_rules_that_change_together_all_but_the_refused_one_take_effect(
    tmp_path: Path, version: str, *, sotw: bool
) -> None:
    target, ports = free_port(), {host: free_port() for host in HOSTS}
    async with AsyncExitStack() as closing:
        servers = [await closing.enter_async_context(DubboServer(name)) for name in ("v1", "v2")]
        endpoints = {f"v{number}": server.address for number, server in enumerate(servers, 1)}
        services = [entry("dubbo", target, endpoints)]
        services += [
            entry("dubbo", port, endpoints, f"{host}.example") for host, port in ports.items()
        ]
        save(tmp_path / "services.yaml", subsets("v1", "v2"), *services)

        def save_routes(routes: Mapping[str, Document]) -> None:
            rules = (rule_of(host, to, target) for host, to in routes.items())
            save(tmp_path / "rules.yaml", *rules)

        save_routes(dict.fromkeys(HOSTS, route(v1=100)))
        meltemi = await closing.enter_async_context(embedded_meltemi(tmp_path, registry()))
        envoy = standalone_envoy(meltemi.xds, sotw=sotw, version=version)
        await closing.enter_async_context(envoy)
        await envoy.wait_ready()
        loads = {
            host: await closing.enter_async_context(
                Load(dubbo_caller(Address(LOOPBACK, port), "demo.Greeter", "hello"), connections=1)
            )
            for host, port in ports.items()
        }

        async def answered_by(server: str, *hosts: str) -> None:
            async with asyncio.timeout(PATIENCE_S):
                for host in hosts:
                    await loads[host].first(from_version(server))

        await answered_by("v1", *HOSTS)
        moved = dict.fromkeys(HOSTS, route(v2=100))
        save_routes(moved | {BAD: route("anger", v2=100)})
        await answered_by("v2", *(host for host in HOSTS if host != BAD))
        await until_accused(meltemi, BAD)
        record = routes_of(meltemi)
        [refusal] = record["refusals"]
        assert refusal["certain"]
        assert (len(refusal["names"]), record["unanswered"]) == (1, 0)
        assert "Didn't find a registered implementation" in refusal["message"]
        await answered_by("v1", BAD)  # it keeps what it had

        save_routes(moved)
        await answered_by("v2", BAD)
        await until_accused(meltemi)
        assert routes_of(meltemi)["state"] == "ACKED"
