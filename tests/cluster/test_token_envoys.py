"""Real Envoys that show a real API server's tokens, from files that are replaced."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from meltemi.controller.client_token import ClientToken
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.envoy import Envoy
from meltemi.testing.envoy_binary import ENVOY_VERSION
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import standalone_envoy
from tests.certificates import Authority, Files, files, spiffe
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.objects import KINDS, apply, definition, entry, router, subsets
from tests.cluster.tokens import Issuer, Projected, lasting
from tests.pages import blocks, elsewhere

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

pytestmark = [pytest.mark.cluster, pytest.mark.envoy]

OLDEST = "1.36.4"
PATIENCE_S = 60.0
SHORT_S = 8.0
"""How long a token is good that a test sees expire: long enough to start an Envoy with it."""


@dataclass(slots=True)
class Rig:
    """A cluster with one service in two versions, and a Meltemi that asks for tokens."""

    issuer: Issuer
    admin: ApiClient
    meltemi: MeltemiProcess
    tokens: Address
    keys: Files
    port: int

    def envoy(self, token: Projected, version: str = ENVOY_VERSION, *, sotw: bool = False) -> Envoy:
        shown = ClientToken(str(token.path), str(self.keys.authority), "localhost")
        return standalone_envoy(self.tokens, token=shown, version=version, sotw=sotw)

    async def logged(self, text: str, times: int = 1) -> None:
        """Wait until Meltemi's log has it so often."""

        async def holds() -> bool:
            return self.meltemi.process.log_tail(10_000).count(text) >= times

        await self.meltemi.process.wait_until(holds, f"log {text!r}", PATIENCE_S)

    async def answered_by(self, client: DubboClient, version: str) -> None:
        """Sooner or later a call is answered by that version, and none fails meanwhile."""
        async with asyncio.timeout(PATIENCE_S):
            while (await client.call("demo.Greeter", "hello")).value != version:
                pass


@pytest.fixture
async def rig(assets: Path, tmp_path: Path) -> AsyncGenerator[Rig]:
    async with (
        ApiServer(assets, tmp_path) as cluster,
        administrator(cluster) as admin,
        DubboServer("v1") as v1,
        DubboServer("v2") as v2,
    ):
        port = free_port()
        for kind in ("ServiceEntry", "DestinationRule", "MetaRouter"):
            await apply(admin, definition(KINDS[kind]))
        targets = {"v1": v1.address.port, "v2": v2.address.port}
        await apply(admin, entry("default", "shop", port, targets))
        await apply(admin, subsets("default", "shop", *targets))
        await apply(admin, router("default", "shop", "v1"))
        async with asks_for_tokens(cluster, tmp_path) as (meltemi, tokens, keys):
            yield Rig(Issuer(cluster), admin, meltemi, tokens, keys, port)


@asynccontextmanager
async def asks_for_tokens(
    cluster: ApiServer, folder: Path
) -> AsyncGenerator[tuple[MeltemiProcess, Address, Files]]:
    authority, tokens = Authority(), Address(LOOPBACK, free_port())
    keys = files(folder / "tls", authority.server(), authority)
    options = ["--kube", "--kubeconfig", cluster.kubeconfig, "--token-xds", tokens]
    options += ["--tls-cert", keys.certificate, "--tls-key", keys.key]
    async with MeltemiProcess(None, extra_args=[*map(str, options)], folder=folder) as meltemi:
        yield meltemi, tokens, keys


@pytest.mark.parametrize(("version", "sotw"), [(OLDEST, False), (ENVOY_VERSION, True)])
async def test_a_replaced_token_carries_an_envoy_over_the_expiry_of_the_old_one(
    rig: Rig, tmp_path: Path, version: str, sotw: bool
) -> None:
    genuine = await rig.issuer.token("default")
    short = rig.issuer.signed(genuine, **lasting(SHORT_S))
    token = Projected(tmp_path / "token", short)
    async with rig.envoy(token, version, sotw=sotw) as envoy:
        await envoy.wait_ready()
        async with await DubboClient.open(Address(LOOPBACK, rig.port)) as client:
            await rig.answered_by(client, "v1")
            token.replace(genuine)
            await rig.logged("proxy.disconnected")
            await rig.logged(f"identity={spiffe('default')}", times=2)
            await apply(rig.admin, router("default", "shop", "v2"))
            await rig.answered_by(client, "v2")
            metrics = (await rig.meltemi.get("/metrics")).body.decode()
    assert 'meltemi_token_checks_total{by="review",result="accepted"} 2.0' in metrics
    header = genuine.partition(".")[0]
    assert header not in rig.meltemi.process.log_tail(10_000), "tokens of one key begin alike"


@pytest.mark.parametrize(
    ("wrong", "complaint"), [("expired", "the token expired"), ("audience", "for 'vault', not for")]
)
async def test_an_envoy_with_a_token_that_is_not_good_is_told_and_comes_in_with_a_good_one(
    rig: Rig, tmp_path: Path, wrong: str, complaint: str
) -> None:
    genuine = await rig.issuer.token("default")
    if wrong == "expired":
        token = Projected(tmp_path / "token", rig.issuer.signed(genuine, **lasting(-1)))
    else:
        token = Projected(tmp_path / "token", await rig.issuer.token("default", audience="vault"))
    async with rig.envoy(token, OLDEST) as envoy:
        await rig.logged("proxy.denied")
        assert not await envoy.ready()
        assert complaint in rig.meltemi.process.log_tail()
        assert complaint in envoy.process.log_tail()
        token.replace(genuine)
        await envoy.wait_ready(PATIENCE_S)
        async with await DubboClient.open(Address(LOOPBACK, rig.port)) as client:
            await rig.answered_by(client, "v1")


async def test_the_lines_of_the_page_bring_an_envoy_up(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, serve, connect, _ = (block.text for block in blocks("security.md"))
    monkeypatch.chdir(tmp_path)
    authority, port = Authority(), free_port()
    written = files(tmp_path / "tls", authority.server(), authority)
    for name, path in (("meltemi.crt", written.certificate), ("meltemi.key", written.key)):
        path.rename(name)
    (tmp_path / "cluster").mkdir()
    async with ApiServer(assets, tmp_path / "cluster") as cluster:
        token = Projected(tmp_path / "token", await Issuer(cluster).token("default"))
        _, _, *flags = shlex.split(elsewhere(serve, {"18001": port}))
        flags += ["--kubeconfig", str(cluster.kubeconfig)]
        async with MeltemiProcess(None, extra_args=flags, folder=tmp_path) as meltemi:
            line = elsewhere(connect, {"18001": port}).partition(">")[0]
            line = line.replace("/var/run/secrets/meltemi/token", str(token.path))
            line = line.replace("ca.crt", str(written.authority))
            ran = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *shlex.split(line), stdout=asyncio.subprocess.PIPE
            )
            made, _ = await ran.communicate()
            async with Envoy(json.loads(made)) as envoy:
                await envoy.wait_ready()
            assert f"identity={spiffe('default')}" in meltemi.process.log_tail()
