"""The admin port of a running control plane: who sees what, and that nothing can be changed."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from meltemi.controller.admin import security as admin_security
from meltemi.controller.admin import server
from meltemi.controller.admin.connections import MOST
from meltemi.controller.admin.security import AdminSecurity
from meltemi.controller.admin.server import serve_admin
from meltemi.controller.metrics import CATALOGUE
from meltemi.controller.plane import ControlPlane
from meltemi.controller.settings import Settings
from meltemi.controller.sources.files import FilesSource
from meltemi.protocols.registry import load
from meltemi.testing.ports import LOOPBACK, Address
from meltemi.testing.xds_client import sotw_request
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER
from tests.certificates import Authority, files, replace_file
from tests.flow.operated import PATIENCE, Operated, introduce, operated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.flow.xds_rig import Client

ROOT, SHOP = "root-token-0123456789", "shop-token-0123456789"
GUARDED = (
    "/metrics",
    "/proxies",
    "/findings",
    "/objects",
    "/config",
    "/",
    "/nothing",
    "/debug/pprof",
)
RULES = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.example]
  exportTo: [.]
  resolution: STATIC
  ports: [{number: 20880, name: tcp-dubbo}]
  endpoints: [{address: 10.9.8.7}]
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: lost, namespace: bank}
spec: {hosts: [nobody.example], routes: []}
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: lost, namespace: shop}
spec: {hosts: [nothing.example], routes: []}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "rules"
    path.mkdir()
    (path / "rules.yaml").write_text(RULES)
    return path


@pytest.fixture
def tokens(tmp_path: Path) -> AdminSecurity:
    path = tmp_path / "tokens"
    path.write_text(f"{ROOT} *\n{SHOP} shop\n")
    return AdminSecurity(path)


async def connect(client: Client, node_id: str, namespace: str, *, capable: bool = True) -> None:
    """A proxy that has its clusters."""
    first = introduce(sotw_request(CLUSTER), node_id, namespace, capable=capable)
    await client.say(first)
    response = await client.hear()
    await client.say(sotw_request(CLUSTER, version=response.version, nonce=response.nonce))
    await client.say(sotw_request(ENDPOINT, ["nobody"]))
    await client.hear()  # so the answer before it has been read


@asynccontextmanager
async def peopled(folder: Path, security: AdminSecurity | None = None) -> AsyncGenerator[Operated]:
    """With a proxy in each of two namespaces."""
    async with operated(folder, security) as meltemi, AsyncExitStack() as stack:
        for namespace in ("shop", "bank"):
            client = await stack.enter_async_context(meltemi.client())
            await connect(client, f"edge-{namespace}", namespace)
        yield meltemi


async def test_health_and_readiness_are_for_everybody(folder: Path, tokens: AdminSecurity) -> None:
    async with operated(folder, tokens) as meltemi:
        for page in ("/healthz", "/readyz"):
            answer = await meltemi.ask(page)
            assert (answer.status, answer.body) == (200, "ok\n")


@pytest.mark.parametrize("page", GUARDED)
async def test_everything_else_needs_a_token(
    folder: Path, tokens: AdminSecurity, page: str
) -> None:
    async with operated(folder, tokens) as meltemi:
        for token in ("", "wrong-token-0123456789", ROOT[:-1]):
            answer = await meltemi.ask(page, token)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await meltemi.ask(page, ROOT)).status in {200, 404}


async def test_off_loopback_without_tokens_nothing_is_told_but_health_and_readiness(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(_: str) -> bool:
        return False

    monkeypatch.setattr(admin_security, "is_loopback", nowhere)
    async with operated(folder) as meltemi:
        for page in ("/healthz", "/readyz"):
            assert (await meltemi.ask(page)).status == 200
        for page in GUARDED:
            answer = await meltemi.ask(page, ROOT)
            assert (answer.status, "MELTEMI_ADMIN_TOKEN_FILE" in answer.body) == (403, True)


async def test_there_is_nothing_for_profilers_or_debuggers(folder: Path) -> None:
    async with operated(folder) as meltemi:
        for page in (
            "/debug/pprof/",
            "/debug/vars",
            "/debug",
            "/profile",
            "/stack",
            "/quitquitquit",
        ):
            assert (await meltemi.ask(page)).status == 404


async def test_a_token_of_a_namespace_shows_that_namespace_only(
    folder: Path, tokens: AdminSecurity
) -> None:
    async with peopled(folder, tokens) as meltemi:
        for token, namespaces in ((ROOT, {"shop", "bank"}), (SHOP, {"shop"})):
            proxies = (await meltemi.ask("/proxies", token)).data
            groups = (await meltemi.ask("/config", token)).data
            findings = (await meltemi.ask("/findings", token)).data
            assert {proxy["namespace"] for proxy in proxies} == namespaces
            assert {group["namespace"] for group in groups} == namespaces
            assert {finding["namespace"] for finding in findings} == namespaces


async def test_a_token_of_a_namespace_is_refused_elsewhere(
    folder: Path, tokens: AdminSecurity
) -> None:
    async with peopled(folder, tokens) as meltemi:
        for page in ("/proxies", "/config", "/findings"):
            assert (await meltemi.ask(f"{page}?namespace=bank", SHOP)).status == 403
            assert (await meltemi.ask(f"{page}?namespace=shop", SHOP)).status == 200
        assert (await meltemi.ask("/metrics", SHOP)).status == 403
        foreign = await meltemi.ask("/config?proxy=edge-bank", SHOP)
        nobody = await meltemi.ask("/config?proxy=nobody", SHOP)
        assert (foreign.status, nobody.status) == (404, 404)
        assert foreign.body.replace("edge-bank", "nobody") == nobody.body


async def test_tokens_count_as_the_file_says_now(folder: Path, tokens: AdminSecurity) -> None:
    assert tokens.tokens is not None
    async with operated(folder, tokens) as meltemi:
        replace_file(tokens.tokens, f"{SHOP} *\n".encode())
        assert (await meltemi.ask("/metrics", ROOT)).status == 401
        assert (await meltemi.ask("/metrics", SHOP)).status == 200
        tokens.tokens.unlink()
        answer = await meltemi.ask("/metrics", SHOP)
        assert (answer.status, SHOP in answer.body) == (503, False)
        assert (await meltemi.ask("/healthz")).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_nothing_can_be_done_but_looking(folder: Path, method: str) -> None:
    async with operated(folder) as meltemi:
        for page in ("/healthz", "/readyz", "/metrics", "/proxies", "/findings", "/config"):
            assert (await meltemi.ask(page, method=method)).status == 405


async def test_connections_that_say_nothing_keep_nobody_from_asking_for_health(
    folder: Path, tokens: AdminSecurity
) -> None:
    async with operated(folder, tokens) as meltemi, AsyncExitStack() as stack:
        silent = [await asyncio.open_connection(LOOPBACK, meltemi.admin) for _ in range(MOST + 10)]
        for _, writer in silent:
            stack.callback(writer.close)
        assert (await meltemi.ask("/healthz")).status == 200
        async with asyncio.timeout(PATIENCE):
            assert await silent[0][0].read() == b""


async def test_a_page_of_somebody_else_in_a_browser_of_this_machine_reads_nothing(
    folder: Path, tokens: AdminSecurity
) -> None:
    async with operated(folder) as meltemi:
        for host in ("localhost", "127.0.0.1:18080", "[::1]:18080"):
            assert (await meltemi.ask("/proxies", host=host)).status == 200
        for host in ("evil.example", "127.0.0.1.evil.example:18080", "10.0.0.1", "[evil"):
            assert (await meltemi.ask("/proxies", host=host)).status == 421
    async with operated(folder, tokens) as meltemi:
        assert (await meltemi.ask("/proxies", ROOT, host="meltemi.example")).status == 200


async def test_proxies_are_narrowed_by_id_and_namespace(folder: Path) -> None:
    async with peopled(folder) as meltemi:
        (proxy,) = (await meltemi.ask("/proxies?id=edge-bank")).data
        assert (proxy["id"], proxy["namespace"]) == ("edge-bank", "bank")
        assert proxy["types"][CLUSTER]["state"] == "ACKED"
        assert (await meltemi.ask("/proxies?id=nobody")).data == []
        assert (await meltemi.ask("/proxies?id=edge-bank&namespace=shop")).data == []


async def test_a_proxy_that_lacks_every_engine_is_told_so(folder: Path) -> None:
    async with operated(folder) as meltemi, meltemi.client() as client:
        await connect(client, "bare", "shop", capable=False)
        (proxy,) = (await meltemi.ask("/proxies")).data
        (lacking,) = proxy["unsupported"]
        assert lacking["protocol"] == "dubbo"
        assert lacking["origins"] == ["ServiceEntry shop/cart spec.ports[0]"]
        assert proxy["types"][LISTENER]["state"] == "NOT SUBSCRIBED"


async def test_the_configuration_is_told_by_group_and_in_full_by_proxy(folder: Path) -> None:
    async with peopled(folder) as meltemi:
        groups = {group["namespace"]: group for group in (await meltemi.ask("/config")).data}
        assert groups["shop"]["resources"][CLUSTER]["count"] == 1
        assert CLUSTER not in groups["bank"]["resources"]
        (shop,) = (await meltemi.ask("/config?proxy=edge-shop")).data
        (cluster,) = shop["held"][CLUSTER]
        assert cluster["resource"]["name"] == "outbound|20880||cart.example"
        assert cluster["origins"][0]["name"] == "cart"


async def test_it_is_ready_from_the_first_sync_to_the_beginning_of_the_end(folder: Path) -> None:
    plane = ControlPlane(load(), FilesSource(folder), Settings())
    async with serve_admin(plane, LOOPBACK, 0) as port:
        meltemi = Operated(plane, Address(LOOPBACK, 0), port)
        assert (await meltemi.ask("/readyz")).status == 503
        async with plane.running(f"{LOOPBACK}:0"):
            async with asyncio.timeout(PATIENCE):
                while (await meltemi.ask("/readyz")).status != 200:
                    pass
        assert (await meltemi.ask("/readyz")).status == 503
        assert (await meltemi.ask("/healthz")).status == 200


async def test_metrics_are_what_the_catalogue_says_and_prometheus_reads_them(folder: Path) -> None:
    async with peopled(folder) as meltemi:
        answer = await meltemi.ask("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        families = {each.name: each for each in text_string_to_metric_families(answer.body)}
        mine = {
            name: each
            for name, each in families.items()
            if name.startswith("meltemi_") and not name.endswith("_created")
        }
        assert {(name, each.type) for name, each in mine.items()} == {
            (spec.name.removesuffix("_total"), spec.kind.value) for spec in CATALOGUE
        }
        for spec in CATALOGUE:
            family = mine[spec.name.removesuffix("_total")]
            assert family.documentation == spec.help
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(spec.labels)
        values = {
            (sample.name, *sample.labels.values()): sample.value
            for each in mine.values()
            for sample in each.samples
        }
        assert values["meltemi_ready",] == 1
        assert values["meltemi_xds_connects_total",] == 2
        assert values["meltemi_xds_streams", "sotw", "plaintext"] == 2
        assert values["meltemi_objects", "MetaRouter"] == 2
        acked = "envoy.config.cluster.v3.Cluster"
        assert values["meltemi_xds_acks_total", acked] == 2
        assert values["meltemi_xds_pushes_total", acked] == 2


async def test_with_a_certificate_it_speaks_tls_only_and_takes_a_new_one(
    folder: Path, tmp_path: Path, tokens: AdminSecurity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "RELOAD", 0.01)
    authority = Authority()
    written = files(tmp_path / "tls", authority.server(), authority)
    security = AdminSecurity(tokens.tokens, written.certificate, written.key)
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    async with operated(folder, security, trusting) as meltemi:
        assert (await meltemi.ask("/metrics", ROOT)).status == 200
        with pytest.raises(OSError, match=r"."):
            await Operated(meltemi.plane, meltemi.xds, meltemi.admin).ask("/healthz")
        other = Authority("another")
        written.write(other.server(), other)
        trusting.load_verify_locations(cadata=other.pem.decode())
        only_new = ssl.create_default_context(cadata=other.pem.decode())
        replaced = Operated(meltemi.plane, meltemi.xds, meltemi.admin, only_new)
        async with asyncio.timeout(PATIENCE):
            while not await trusted(replaced):
                pass


async def trusted(meltemi: Operated) -> bool:
    """Whether the admin port has a certificate that is trusted."""
    try:
        return (await meltemi.ask("/healthz")).status == 200
    except ssl.SSLCertVerificationError:
        return False


async def test_a_certificate_that_cannot_be_used_is_told_before_anything_listens(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("crt", "key"):
        (tmp_path / name).write_text("nothing")
    plane = ControlPlane(load(), FilesSource(folder), Settings())
    security = AdminSecurity(None, tmp_path / "crt", tmp_path / "key")
    with pytest.raises(ValueError, match="the admin page's certificate"):
        async with serve_admin(plane, LOOPBACK, 0, security):
            pass
