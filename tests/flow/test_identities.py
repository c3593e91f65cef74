"""Who a proxy may be and what it may see: a whole control plane, real certificates, raw clients."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from meltemi.controller.identity import Security
from meltemi.controller.loop import Loop
from meltemi.controller.settings import Settings
from meltemi.protocols.thrift import THRIFT_PROXY
from meltemi.testing.standalone import embedded_meltemi
from meltemi.xds.credentials import TlsFiles
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, RUNTIME
from tests.certificates import Authority, Certificate, files, spiffe
from tests.raw_streams import (
    DELTA,
    DENIED,
    LEDGER,
    MARKET,
    PATIENCE,
    RULES,
    SOTW,
    VAULT,
    Client,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from meltemi.protocols.group import Group, GroupKey
    from meltemi.testing.standalone import EmbeddedMeltemi
    from meltemi.xds.resource import TypeUrl


@dataclass(slots=True)
class Rig:
    """A control plane, and clients of its authority."""

    meltemi: EmbeddedMeltemi
    authority: Authority = field(default_factory=Authority)

    @asynccontextmanager
    async def client(
        self, proxy: Certificate | None = None, method: str = DELTA
    ) -> AsyncGenerator[Client]:
        """One stream, over mutual TLS if there is a certificate."""
        address = f"localhost:{self.meltemi.xds.port}"
        if proxy is None:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.meltemi.xds.port}")
        else:
            trusted = self.authority.pem
            channel = grpc.aio.secure_channel(
                address, grpc.ssl_channel_credentials(trusted, proxy.key, proxy.pem)
            )
        async with channel:
            yield Client(channel, method)

    async def names(self, metadata: Mapping[str, object], proxy: Certificate | None) -> set[str]:
        """The clusters of a proxy."""
        async with self.client(proxy) as client:
            await client.introduce(CLUSTER, metadata)
            return set((await client.hear()).names)

    async def refusal(
        self, metadata: Mapping[str, object], proxy: Certificate | None
    ) -> tuple[grpc.StatusCode, str]:
        """How a proxy is sent away."""
        async with self.client(proxy) as client:
            await client.introduce(CLUSTER, metadata)
            return await client.end()


@asynccontextmanager
async def served(
    folder: Path, security: Security, authority: Authority | None = None, rules: str = RULES
) -> AsyncGenerator[Rig]:
    path = folder / "rules.yaml"
    path.write_text(rules)
    async with embedded_meltemi(path, settings=Settings(security=security)) as meltemi:
        yield Rig(meltemi, authority or Authority())


@asynccontextmanager
async def over_tls(folder: Path) -> AsyncGenerator[Rig]:
    authority = Authority()
    written = files(folder / "tls", authority.server(), authority)
    tls = TlsFiles(written.certificate, written.key, written.authority)
    async with served(folder, Security(tls), authority) as rig:
        yield rig


async def test_the_namespace_is_that_of_the_identity_whether_or_not_it_is_claimed(
    tmp_path: Path,
) -> None:
    async with over_tls(tmp_path) as rig:
        bank, shop = rig.authority.proxy("bank"), rig.authority.proxy("shop")
        assert await rig.names({}, bank) == {LEDGER, VAULT, MARKET}
        assert await rig.names({"namespace": "bank"}, bank) == {LEDGER, VAULT, MARKET}
        assert await rig.names({}, shop) == {MARKET}


@pytest.mark.parametrize("claimed", ["bank", "default"])
async def test_a_claim_of_another_namespace_is_denied_and_leaves_nothing_behind(
    tmp_path: Path, claimed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with over_tls(tmp_path) as rig:
        opened: list[str] = []
        original = Loop.open

        async def opening(loop: Loop, key: GroupKey) -> Group:
            opened.append(key.namespace)
            return await original(loop, key)

        # Whatever is done for a proxy begins with its group.
        monkeypatch.setattr(Loop, "open", opening)
        shop = rig.authority.proxy("shop")
        with capture_logs() as logs:
            code, text = await rig.refusal({"namespace": claimed}, shop)
        assert (code, opened) == (DENIED, [])
        assert f"namespace is '{claimed}', and this proxy is in 'shop'" in text
        assert rig.meltemi.plane.status.streams() == ()
        assert "proxy.connected" not in [log["event"] for log in logs]
        [denied] = [log for log in logs if log["event"] == "proxy.denied"]
        assert (denied["node"], denied["identity"]) == ("edge", spiffe("shop"))
        assert denied["error"] == text
        assert await rig.names({}, shop) == {MARKET}
        assert opened == ["shop"]


async def test_an_identity_that_is_no_workload_of_a_namespace_is_denied(tmp_path: Path) -> None:
    async with over_tls(tmp_path) as rig:
        proxy = rig.authority.issue(uris=["spiffe://cluster.local/edge"])
        code, text = await rig.refusal({"namespace": "shop"}, proxy)
        assert code is DENIED
        assert "spiffe://cluster.local/edge names no workload of a namespace" in text


async def test_a_live_node_id_is_denied_to_another_identity_and_free_when_it_has_gone(
    tmp_path: Path,
) -> None:
    async with over_tls(tmp_path) as rig:
        shop = rig.authority.proxy("shop")
        other = rig.authority.proxy("shop", "another")
        async with rig.client(shop) as first, rig.client(shop) as second:
            for client in (first, second):  # Envoy has several streams, and comes again
                await client.introduce(CLUSTER, {}, "edge")
                assert (await client.hear()).names == (MARKET,)
            async with rig.client(other) as third:
                await third.introduce(CLUSTER, {}, "edge")
                code, text = await third.end()
            assert (code, len(rig.meltemi.plane.status.streams())) == (DENIED, 2)
            assert "another workload is connected as node 'edge'" in text
        async with asyncio.timeout(PATIENCE):
            while rig.meltemi.plane.status.streams():  # noqa: ASYNC110  # streams end by themselves
                await asyncio.sleep(0.01)
        assert await rig.names({}, other) == {MARKET}


async def test_of_those_that_claim_one_node_id_at_the_same_time_one_is_served(
    tmp_path: Path,
) -> None:
    async with over_tls(tmp_path) as rig, AsyncExitStack() as stack:
        proxies = [rig.authority.proxy(namespace) for namespace in ("shop", "bank", "cart")]
        clients = [await stack.enter_async_context(rig.client(proxy)) for proxy in proxies]
        await asyncio.gather(*(client.introduce(CLUSTER, {}, "edge") for client in clients))
        served = await asyncio.gather(*(client.is_served() for client in clients))
        assert served.count(True) == 1


async def test_a_stream_may_not_change_its_node_id(tmp_path: Path) -> None:
    async with over_tls(tmp_path) as rig, rig.client(rig.authority.proxy("shop")) as client:
        await client.introduce(CLUSTER, {}, "edge")
        await client.hear()
        await client.introduce(LISTENER, {}, "other")
        code, text = await client.end()
        assert (code, rig.meltemi.plane.status.streams()) == (grpc.StatusCode.INVALID_ARGUMENT, ())
        assert "node.id changed from 'edge' to 'other'" in text


@pytest.mark.parametrize("method", [DELTA, SOTW])
@pytest.mark.parametrize(
    ("type_url", "hidden", "public"),
    [
        (CLUSTER, VAULT, MARKET),
        (ENDPOINT, VAULT, MARKET),
        (LISTENER, "vault.example_7000", "market.example_7001"),
        (THRIFT_PROXY.route_type, "vault.example_7000", "market.example_7001"),
    ],
)
async def test_a_resource_of_another_namespace_is_as_unknown_as_one_that_does_not_exist(
    tmp_path: Path, method: str, type_url: TypeUrl, hidden: str, public: str
) -> None:
    async with over_tls(tmp_path) as rig:

        async def said_of(name: str, namespace: str) -> tuple[object, ...]:
            async with rig.client(rig.authority.proxy(namespace), method) as client:
                await client.introduce(RUNTIME, {})
                await client.ask(type_url, name, public)
                answer = await client.hear()
            heard = (answer.removed, answer.names, answer.bodies, answer.version)
            # Of one length, so that the bytes around them are alike.
            return tuple(repr(each).replace(name, "it") for each in heard)

        nonsense = hidden.replace("vault", "fault")
        assert await said_of(hidden, "shop") == await said_of(nonsense, "shop")
        assert await said_of(hidden, "bank") != await said_of(nonsense, "bank")


async def test_asking_for_services_of_another_namespace_does_not_show_them(tmp_path: Path) -> None:
    async with over_tls(tmp_path) as rig:
        wish = {"services": ["bank/*", "*/*"]}
        assert await rig.names(wish, rig.authority.proxy("shop")) == {MARKET}


async def test_passwords_go_to_the_proxies_of_their_namespace_over_tls(tmp_path: Path) -> None:
    async with over_tls(tmp_path) as rig:
        assert b"open-sesame" in await listeners(rig, {}, rig.authority.proxy("bank"))
        assert b"open-sesame" not in await listeners(rig, {}, rig.authority.proxy("shop"))


async def test_passwords_go_to_proxies_of_this_machine_in_plaintext(tmp_path: Path) -> None:
    async with served(tmp_path, Security()) as rig:
        assert b"open-sesame" in await listeners(rig, {"namespace": "bank"}, None)


async def test_on_an_exposed_port_nobody_is_in_a_namespace_of_others(tmp_path: Path) -> None:
    async with served(tmp_path, Security(exposed=True)) as rig:
        assert await rig.names({}, None) == {MARKET}
        assert await rig.names({"namespace": "default"}, None) == {MARKET}
        assert (await rig.refusal({"namespace": "bank"}, None))[0] is DENIED


async def test_on_an_exposed_port_a_password_locks_instead_of_travelling(tmp_path: Path) -> None:
    rules = RULES.replace("namespace: bank", "namespace: default")
    async with served(tmp_path, Security(exposed=True), rules=rules) as rig:
        sent = await listeners(rig, {}, None)
        assert b"locked" in sent
        assert b"open-sesame" not in sent
        assert "MEL0412" in {finding.problem.code for finding in rig.meltemi.plane.findings}


async def listeners(rig: Rig, metadata: Mapping[str, object], proxy: Certificate | None) -> bytes:
    """All listeners of a proxy."""
    async with rig.client(proxy) as client:
        await client.introduce(LISTENER, metadata)
        return b"".join((await client.hear()).bodies)
