"""A real Envoy over mutual TLS: it gets its rules, follows rotations, and trusts only Meltemi."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from meltemi.controller.client_tls import ClientTls
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.standalone import standalone_envoy
from tests.certificates import SERVER_ID, Authority, Files, files, replace_file, spiffe
from tests.churn.relay import Relay
from tests.envoy.rig import PATIENCE_S, route, staged, trouble, until_stat

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from meltemi.testing.ports import Address
    from tests.envoy.rig import Stage

pytestmark = pytest.mark.envoy

CONNECTED = "control_plane.connected_state"


@dataclass(frozen=True, slots=True)
class Keys:
    """The files of both sides."""

    server: Files
    proxy: Files

    def serve(self, rules: Path) -> AbstractAsyncContextManager[MeltemiProcess]:
        """Meltemi with these files."""
        flags = ["--tls-cert", self.server.certificate, "--tls-key", self.server.key]
        flags += ["--client-ca", self.server.authority]
        return MeltemiProcess(rules, extra_args=[*map(str, flags)])

    def client(self, server_name: str = SERVER_ID) -> ClientTls:
        """How an Envoy connects that follows replaced files."""
        proxy = self.proxy
        return ClientTls(
            certificate=str(proxy.certificate),
            key=str(proxy.key),
            server_ca=str(proxy.authority),
            server_name=server_name,
            secrets=str(proxy.certificate.parent),
        )


def keys(folder: Path, authority: Authority) -> Keys:
    """Files of one authority for both sides, and beside them an empty folder for rules."""
    (folder / "rules").mkdir()
    return Keys(
        files(folder / "server", authority.server(), authority),
        files(folder / "proxy", authority.proxy("default"), authority),
    )


@pytest.mark.parametrize(
    ("version", "sotw", "watched"),
    [("1.36.4", False, True), ("1.40.0", True, True), ("1.40.0", False, False)],
)
async def test_an_envoy_is_served_over_mutual_tls(
    tmp_path: Path, version: str, sotw: bool, watched: bool
) -> None:
    made = keys(tmp_path, Authority())
    tls = made.client("127.0.0.1") if watched else replace(made.client(), secrets="")
    async with staged(
        tmp_path / "rules",
        "dubbo",
        route(v1=1),
        serve=made.serve,
        sotw=sotw,
        version=version,
        tls=tls,
    ) as stage:
        await stage.answered_by("v1")
        stage.save_rules(route(v2=1))
        await stage.answered_by("v2")
        [proxy] = json.loads((await stage.process.get("/proxies")).body)
        assert (proxy["id"], (await stage.envoy.stats(CONNECTED))[CONNECTED]) == ("envoy", 1)
        assert f"identity={spiffe('default')}" in stage.process.process.log_tail()
        assert trouble(await stage.calls(50)) == {}


@dataclass(frozen=True, slots=True)
class Relayed:
    """Meltemi behind a network that can be cut."""

    process: MeltemiProcess
    relay: Relay

    @property
    def xds(self) -> Address:
        return self.relay.address

    def connected(self) -> int:
        """How many streams there have been."""
        return self.process.process.log_tail(1000).count("proxy.connected")


@pytest.mark.parametrize("sotw", [False, True])
async def test_rotating_everything_under_traffic_fails_no_call_and_ends_no_stream(
    tmp_path: Path, sotw: bool
) -> None:
    old, new = Authority("the old one"), Authority("the new one")
    made = keys(tmp_path, old)

    @asynccontextmanager
    async def serve(rules: Path) -> AsyncGenerator[Relayed]:
        async with made.serve(rules) as process:
            relay = Relay(process.xds)
            async with relay.running():
                yield Relayed(process, relay)

    rules = tmp_path / "rules"
    async with staged(
        rules, "dubbo", route(v1=1), serve=serve, sotw=sotw, tls=made.client()
    ) as stage:
        meltemi = stage.meltemi
        assert isinstance(meltemi, Relayed)
        begun = stage.load.now()
        await rotated(stage, made, old, new)

        stage.save_rules(route(v2=1))
        await stage.answered_by("v2")
        assert meltemi.connected() == 1, "the open stream has carried the change"

        # A new connection needs the new certificates of both sides, and nothing has restarted.
        meltemi.relay.cut()
        await stage.until_stat(CONNECTED, lambda now: now == 0)
        meltemi.relay.mend()
        await stage.until_stat(CONNECTED, lambda now: now == 1)
        stage.save_rules(route(v1=1))
        await stage.answered_by("v1")
        assert meltemi.connected() == 2
        assert meltemi.process.process.log_tail(1000).count("certificate.replaced") == 1
        assert trouble(stage.load.report().since(begun)) == {}


async def rotated(stage: Stage, made: Keys, old: Authority, new: Authority) -> None:
    """Both sides get certificates of the new authority, and in the end trust no other: as one
    rotates by hand, first everybody trusts both.
    """
    sides = {made.server: new.server(), made.proxy: new.proxy("default")}
    for side in sides:
        replace_file(side.authority, old.pem + new.pem)
    await stage.calls(50)
    for side, certificate in sides.items():
        replace_file(side.key, certificate.key)
        replace_file(side.certificate, certificate.pem)
    await stage.calls(50)
    for side in sides:
        replace_file(side.authority, new.pem)
    await stage.calls(50)


async def test_another_proxy_cannot_pass_for_meltemi(tmp_path: Path) -> None:
    authority = Authority()
    made = keys(tmp_path, authority)
    made.server.write(authority.proxy("default"), authority)
    async with (
        made.serve(tmp_path / "rules") as meltemi,
        standalone_envoy(meltemi.xds, tls=made.client()) as envoy,
    ):
        refused = "cluster.meltemi-xds.ssl.fail_verify_san"
        await until_stat(envoy, refused, lambda count: count > 0)
        assert not await envoy.ready()
        made.server.write(authority.server(), authority)
        await envoy.wait_ready(PATIENCE_S)
        assert "certificate.replaced" in meltemi.process.log_tail()
