"""Proxies with service account tokens, which a real API server issues and reviews."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
import yaml
from structlog.testing import capture_logs

from meltemi.controller.identity import Security, TokenPort
from meltemi.controller.kube.token_reviews import token_reviews
from meltemi.controller.loop import Loop
from meltemi.controller.manifests.rules import REVIEWS
from meltemi.controller.plane import ControlPlane
from meltemi.controller.settings import Settings
from meltemi.controller.sources.files import FilesSource
from meltemi.controller.sources.kube import KubeSource
from meltemi.protocols.registry import load
from meltemi.testing.ports import free_port
from meltemi.xds.credentials import TlsFiles
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, RUNTIME
from tests.certificates import Authority, files, spiffe
from tests.cluster.accounts import NAME, Account
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.objects import KINDS, apply, definition, send
from tests.cluster.tokens import AUDIENCE, Issuer, lasting, unsigned
from tests.raw_streams import DENIED, LEDGER, MARKET, PATIENCE, RULES, VAULT, Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from pathlib import Path

    from kubernetes.aio.client import ApiClient, Configuration

    from meltemi.controller.sources import Source
    from meltemi.protocols.group import Group, GroupKey
    from meltemi.xds.resource import TypeUrl

pytestmark = pytest.mark.cluster

UNAUTHENTICATED, UNAVAILABLE = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE
READY_S = 30.0
CUSTOM = ("ServiceEntry", "DestinationRule", "VirtualService", "MetaRouter", "RedisService")


@dataclass(slots=True)
class Rig:
    """A control plane with a port for tokens, and clients of that."""

    plane: ControlPlane
    port: int
    authority: Authority
    issuer: Issuer

    @asynccontextmanager
    async def client(self, *authorization: str) -> AsyncGenerator[Client]:
        """A stream with these headers."""
        trusted = grpc.ssl_channel_credentials(self.authority.pem)
        metadata = tuple(("authorization", each) for each in authorization)
        async with grpc.aio.secure_channel(f"localhost:{self.port}", trusted) as channel:
            yield Client(channel, metadata=metadata)

    async def names(self, token: str, metadata: Mapping[str, object]) -> set[str]:
        """The clusters of a proxy."""
        async with self.client(f"Bearer {token}") as client:
            await client.introduce(CLUSTER, metadata)
            return set((await client.hear()).names)

    async def is_served(self, token: str) -> bool:
        """Whether there is no refusal."""
        async with self.client(f"Bearer {token}") as client:
            await client.introduce(CLUSTER, {})
            return await client.is_served(UNAVAILABLE)

    async def listeners(self, token: str) -> bytes:
        """All listeners of a proxy."""
        async with self.client(f"Bearer {token}") as client:
            await client.introduce(LISTENER, {})
            return b"".join((await client.hear()).bodies)

    async def refusal(
        self, *authorization: str, metadata: Mapping[str, object] | None = None
    ) -> tuple[grpc.StatusCode, str]:
        """How a proxy is sent away. It need not say a word for that."""
        async with self.client(*authorization) as client:
            if metadata is not None:
                await client.introduce(CLUSTER, metadata)
            return await client.end()


@asynccontextmanager
async def served(
    folder: Path,
    cluster: ApiServer,
    source: Source,
    connect: Callable[[], Awaitable[Configuration]] | None = None,
) -> AsyncGenerator[Rig]:
    """What a source says, to those whose tokens the cluster has issued. ``connect``: as somebody
    else than its administrator.
    """
    authority, port = Authority(), free_port()
    written = files(folder / "tls", authority.server(), authority)
    tokens = TokenPort(f"127.0.0.1:{port}", TlsFiles(written.certificate, written.key))
    plane = ControlPlane(load(), source, Settings(security=Security(tokens=tokens)))
    checked = plane.metrics.token_checked
    async with (
        token_reviews(connect or cluster.connect, AUDIENCE, "cluster.local", checked) as verify,
        plane.running("127.0.0.1:0", verify),
    ):
        async with asyncio.timeout(READY_S):
            while not plane.ready:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.01)
        yield Rig(plane, port, authority, Issuer(cluster))


@pytest.fixture
async def rig(server: ApiServer, tmp_path: Path) -> AsyncGenerator[Rig]:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    await make_namespaces(server)
    async with served(tmp_path, server, FilesSource(path)) as rig:
        yield rig


async def make_namespaces(server: ApiServer) -> None:
    async with administrator(server) as admin:
        for name in ("bank", "shop"):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await apply(admin, body)


async def other_key(issuer: Issuer) -> str:
    """A token whose signature is that of another one."""
    first, second = await issuer.token("shop"), await issuer.token("bank")
    return f"{first.rpartition('.')[0]}.{second.rpartition('.')[2]}"


async def changed(issuer: Issuer, **claims: object) -> str:
    return issuer.signed(await issuer.token("shop"), **claims)


async def expired(issuer: Issuer) -> str:
    return await changed(issuer, **lasting(-5))


async def of_another_issuer(issuer: Issuer) -> str:
    return await changed(issuer, iss="https://elsewhere.test")


async def for_others(issuer: Issuer) -> str:
    return await issuer.token("shop", audience="vault")


async def with_algorithm_none(issuer: Issuer) -> str:
    return unsigned(await issuer.token("shop"))


async def of_nobody(issuer: Issuer) -> str:
    account = {"name": "nobody", "uid": "b9a2"}
    claims = {"namespace": "shop", "serviceaccount": account}
    sub = "system:serviceaccount:shop:nobody"
    return await changed(issuer, sub=sub, **{"kubernetes.io": claims})


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (expired, r"the token expired \d+ s ago: send the"),
        (for_others, "for 'vault', not for 'meltemi': request it with `audience: meltemi`"),
        (of_another_issuer, "the API server refuses the token"),
        (other_key, "the API server refuses the token"),
        (of_nobody, "the API server refuses the token"),
        (with_algorithm_none, "the token is not signed: send one that Kubernetes issues"),
    ],
    ids=["expired", "audience", "issuer", "signature", "account", "none"],
)
async def test_a_token_that_is_not_good_is_refused_before_any_work(
    rig: Rig,
    wrong: Callable[[Issuer], Awaitable[str]],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    original = Loop.open

    async def opening(loop: Loop, key: GroupKey) -> Group:
        opened.append(key.namespace)
        return await original(loop, key)

    # Whatever is done for a proxy begins with its group.
    monkeypatch.setattr(Loop, "open", opening)
    token = await wrong(rig.issuer)
    with capture_logs() as logs:
        code, text = await rig.refusal(f"Bearer {token}")
    assert (code, opened) == (UNAUTHENTICATED, [])
    assert re.search(complaint, text), text
    assert rig.plane.status.streams() == ()
    [denied] = [log for log in logs if log["event"] == "proxy.denied"]
    assert denied["error"] == text
    assert token not in str(logs)
    assert await rig.names(await rig.issuer.token("shop"), {}) == {MARKET}
    assert opened == ["shop"]


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ((), "0 authorization headers"),
        (("Bearer a.b.c", "Bearer d.e.f"), "2 authorization headers"),
        (("Basic dXNlcjpwYXNz",), "does not read `Bearer TOKEN`"),
        (("Bearer ",), "does not read `Bearer TOKEN`"),
        (("Bearer nonsense",), "is no JWT"),
    ],
)
async def test_a_stream_without_a_token_is_refused(
    rig: Rig, headers: tuple[str, ...], complaint: str
) -> None:
    code, text = await rig.refusal(*headers)
    assert code is UNAUTHENTICATED
    assert complaint in text


async def test_the_namespace_is_that_of_the_token_whatever_is_claimed(rig: Rig) -> None:
    bank, shop = await rig.issuer.token("bank"), await rig.issuer.token("shop")
    assert await rig.names(bank, {}) == {LEDGER, VAULT, MARKET}
    assert await rig.names(shop, {"namespace": "shop"}) == {MARKET}
    with capture_logs() as logs:
        code, text = await rig.refusal(f"Bearer {shop}", metadata={"namespace": "bank"})
    assert code is DENIED
    assert "namespace is 'bank', and this proxy is in 'shop'" in text
    events = [log["event"] for log in logs]
    assert ("proxy.denied" in events, "proxy.connected" in events) == (True, False)


async def test_a_live_node_id_is_denied_to_another_service_account(rig: Rig) -> None:
    first, second = await rig.issuer.token("shop"), await rig.issuer.token("shop", "another")
    async with rig.client(f"Bearer {first}") as client:
        await client.introduce(CLUSTER, {}, "edge")
        await client.hear()
        [stream] = rig.plane.status.streams()
        assert str(stream.peer.identity) == spiffe("shop")
        code, text = await rig.refusal(f"Bearer {second}", metadata={})
        assert code is DENIED
        assert "another workload is connected as node 'edge'" in text


async def test_a_stream_may_not_change_its_node_id(rig: Rig) -> None:
    async with rig.client(f"Bearer {await rig.issuer.token('shop')}") as client:
        await client.introduce(CLUSTER, {}, "edge")
        await client.hear()
        await client.introduce(LISTENER, {}, "other")
        code, text = await client.end()
        assert (code, rig.plane.status.streams()) == (grpc.StatusCode.INVALID_ARGUMENT, ())
        assert "node.id changed from 'edge' to 'other'" in text


async def test_a_stream_ends_when_its_token_has_expired(rig: Rig) -> None:
    genuine = await rig.issuer.token("shop")
    short = rig.issuer.signed(genuine, **lasting(3))
    async with rig.client(f"Bearer {genuine}") as longer, rig.client(f"Bearer {short}") as client:
        for each in (longer, client):
            await each.introduce(CLUSTER, {})
            assert (await each.hear()).names == (MARKET,)
        assert await client.end() == (grpc.StatusCode.OK, "")
        assert len(rig.plane.status.streams()) == 1
    code, text = await rig.refusal(f"Bearer {short}")
    assert (code, "expired" in text) == (UNAUTHENTICATED, True)


async def test_what_is_in_a_cluster_is_shown_to_its_namespace_and_outages_end_no_stream(
    assets: Path, tmp_path: Path
) -> None:
    async with ApiServer(assets, tmp_path) as cluster:
        await make_namespaces(cluster)
        await fill(cluster)
        async with served(tmp_path, cluster, KubeSource(cluster.connect)) as rig:
            bank, shop, fresh = [await rig.issuer.token(name) for name in ("bank", "shop", "shop")]
            assert await rig.names(bank, {}) == {LEDGER, VAULT, MARKET}
            assert await rig.names(shop, {}) == {MARKET}
            await until_password(rig, bank)
            assert b"open-sesame" not in await rig.listeners(shop)
            async with rig.client(f"Bearer {shop}") as client:
                await client.introduce(CLUSTER, {})
                await client.hear()
                await cluster.kill()
                with capture_logs() as logs:
                    code, text = await rig.refusal(f"Bearer {fresh}")
                assert code is UNAVAILABLE
                assert "nobody can tell now whether the token is good" in text
                assert "tokens.unanswered" in [log["event"] for log in logs]
                assert fresh not in str(logs)
                assert await rig.names(shop, {}) == {MARKET}, "it was reviewed a moment ago"
                await client.ask(CLUSTER, MARKET)
                assert (await client.hear()).names == (MARKET,), "the stream has stayed"
                await cluster.start()
                assert await rig.names(fresh, {}) == {MARKET}


@pytest.mark.parametrize("type_url", [CLUSTER, ENDPOINT])
async def test_a_resource_of_another_namespace_is_as_unknown_as_one_that_does_not_exist(
    rig: Rig, type_url: TypeUrl
) -> None:
    async def said_of(name: str, namespace: str) -> str:
        token = await rig.issuer.token(namespace)
        async with rig.client(f"Bearer {token}") as client:
            await client.introduce(RUNTIME, {})
            await client.ask(type_url, name, MARKET)
            answer = await client.hear()
        # Of one length, so that the bytes around them are alike.
        return repr((answer.removed, answer.names, answer.bodies)).replace(name, "it")

    nonsense = VAULT.replace("vault", "fault")
    assert await said_of(VAULT, "shop") == await said_of(nonsense, "shop")
    assert await said_of(VAULT, "bank") != await said_of(nonsense, "bank")


async def test_without_the_right_to_review_nobody_is_let_in_until_it_is_granted(
    server: ApiServer, admin: ApiClient, namespace: str, tmp_path: Path
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    await make_namespaces(server)
    account = Account(server, namespace, tmp_path)
    async with served(tmp_path, server, FilesSource(path), account.connect) as rig:
        token = await rig.issuer.token("shop")
        with capture_logs() as logs:
            assert (await rig.refusal(f"Bearer {token}"))[0] is UNAVAILABLE
        [failing] = [log for log in logs if log["event"] == "tokens.unanswered"]
        assert "tokenreviews.authentication.k8s.io is forbidden" in failing["error"]
        assert "create tokenreviews" in failing["next_step"]
        await grant_reviews(admin, namespace)
        async with asyncio.timeout(PATIENCE):
            while not await rig.is_served(token):
                pass


async def grant_reviews(admin: ApiClient, namespace: str) -> None:
    """The rule of the manifests, in all of the cluster."""
    rbac, name = "/apis/rbac.authorization.k8s.io/v1", {"name": f"reviews-{namespace}"}
    await send(
        admin, "POST", f"{rbac}/clusterroles", {"metadata": name, "rules": [REVIEWS.to_dict()]}
    )
    of_role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", **name}
    subject = {"kind": "ServiceAccount", "namespace": namespace, "name": NAME}
    binding = {"metadata": name, "roleRef": of_role, "subjects": [subject]}
    await send(admin, "POST", f"{rbac}/clusterrolebindings", binding)


async def fill(cluster: ApiServer) -> None:
    """Make everything of the rules."""
    async with administrator(cluster) as admin:
        for kind in CUSTOM:
            await apply(admin, definition(KINDS[kind]))
        for body in yaml.safe_load_all(RULES):
            if body["kind"] == "Secret":
                await send(admin, "POST", "/api/v1/namespaces/bank/secrets", body)
            else:
                await apply(admin, body)


async def until_password(rig: Rig, token: str) -> None:
    """Secrets are followed once an object names them."""
    async with asyncio.timeout(PATIENCE):
        while b"open-sesame" not in await rig.listeners(token):
            pass
