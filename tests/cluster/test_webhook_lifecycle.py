"""The webhook's certificates and registration on a real API server, whatever happens to them."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from meltemi.controller.kube.api import Api
from meltemi.controller.webhook.certificates import TERMS, Action, Material, carry_out
from meltemi.controller.webhook.keeper import SECRET, SharedSecret
from meltemi.testing.ports import LOOPBACK, free_port
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.definitions import send
from tests.cluster.webhook_rig import (
    KEEPING,
    MERGE,
    OWN_NAMESPACE,
    READING,
    SECRETS,
    Hooked,
    account,
    grant,
    hooked,
    install,
    prepare,
    put_secret,
    replica,
    router,
    secret,
    uninstall,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

NAMES = frozenset(
    {LOOPBACK, "meltemi.meltemi-system.svc", "meltemi.meltemi-system.svc.cluster.local"}
)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELTEMI_WEBHOOK_SANS", LOOPBACK)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ApiServer]:
    async with ApiServer(assets, tmp_path_factory.mktemp("webhook")) as server:
        async with administrator(server) as api:
            await prepare(api)
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def api(server: ApiServer) -> AsyncGenerator[ApiClient]:
    async with administrator(server) as api:
        yield api


@asynccontextmanager
async def always_refusing(hook: Hooked) -> AsyncGenerator[None]:
    """Bad objects are refused by the webhook all the time meanwhile, on new connections too."""
    ended = asyncio.Event()

    async def asking() -> int:
        asked = 0
        while not ended.is_set():
            assert await hook.refuses()
            asked += 1
        return asked

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(asking())
        yield
        ended.set()
    assert task.result() > 0


def aged(authority: timedelta, certificate: timedelta) -> Material:
    """An authority of that age, and a certificate of its that was made later."""
    now = datetime.now(UTC)
    old = carry_out(Action.ROTATE, None, NAMES, now - authority)
    return carry_out(Action.RENEW, old, NAMES, now - certificate)


async def served(port: int, trusted: bytes) -> bytes:
    """The certificate that a new connection gets, which is trusted, as PEM."""
    trust = ssl.create_default_context(cadata=trusted.decode())
    _, writer = await asyncio.open_connection(LOOPBACK, port, ssl=trust)
    encoded = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return ssl.DER_cert_to_PEM_cert(encoded).encode()


async def test_the_policy_is_to_fail_once_it_is_proven_and_a_new_installation_is_repaired(
    server: ApiServer, api: ApiClient, tmp_path: Path
) -> None:
    async with hooked(server, api, tmp_path) as hook:

        async def fails() -> bool:
            return await hook.policy() == "Fail" and bool(await hook.roots())

        await until(fails)
        where = (await hook.webhook())["clientConfig"]["url"]
        await hook.change(failurePolicy="Ignore", clientConfig={"url": where, "caBundle": ""})
        assert not await hook.roots()
        await until(fails)
        assert await hook.roots() == (await secret(api))["ca.crt"]
        await hook.change(failurePolicy="Ignore")
        await until(fails)


async def test_the_policy_stays_to_ignore_where_that_is_wanted(
    server: ApiServer, api: ApiClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELTEMI_WEBHOOK_FAILURE_POLICY", "Ignore")
    async with hooked(server, api, tmp_path) as hook:
        await hook.change(failurePolicy="Fail")

        async def ignores() -> bool:
            return await hook.policy() == "Ignore"

        await until(ignores)


async def test_a_webhook_that_is_down_keeps_back_only_what_it_is_asked_about(
    server: ApiServer, api: ApiClient, tmp_path: Path
) -> None:
    async with hooked(server, api, tmp_path) as hook:
        assert (await hook.write(router("here"))).status == 201
        await until(lambda: _is(hook, "Fail"))
        await hook.meltemi.kill()
        assert (await hook.write(router("other"))).status == 500
        config_map = {"metadata": {"name": "unrelated"}}
        path = "/api/v1/namespaces/default/configmaps"
        assert (await send(api, "POST", path, config_map)).status == 201
        await hook.change(failurePolicy="Ignore")

        async def passes() -> bool:
            return (await hook.write(router("other"))).status == 201

        await until(passes)
        await hook.change(failurePolicy="Fail")
        await hook.meltemi.start()
        await until(hook.refuses)
        assert (await hook.write(router("third"))).status == 201


async def _is(hook: Hooked, policy: str) -> bool:
    return await hook.policy() == policy


async def test_a_certificate_that_is_due_is_renewed_while_reviews_go_on(
    server: ApiServer, api: ApiClient, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    due = carry_out(Action.ROTATE, None, NAMES, now - TERMS.leaf * 3 / 4)
    await put_secret(api, carry_out(Action.RENEW, due, NAMES, now))
    async with hooked(server, api, tmp_path) as hook, always_refusing(hook):
        await put_secret(api, due)

        async def renewed() -> bool:
            found = await secret(api)
            fresh = found["tls.crt"] != due.certificate
            return fresh and await served(hook.port, due.roots) == found["tls.crt"]

        await until(renewed)
        assert hook.logged("webhook.renewed")
        assert await hook.roots() == due.roots


async def test_an_authority_that_is_due_is_trusted_beside_its_successor(
    server: ApiServer, api: ApiClient, tmp_path: Path
) -> None:
    old = aged(TERMS.root * 3 / 4, timedelta(days=1))
    await put_secret(api, old)
    async with hooked(server, api, tmp_path) as hook, always_refusing(hook):
        found = await secret(api)
        assert found["tls.crt"] == old.certificate
        assert await served(hook.port, old.roots) == old.certificate
        new_root, rest = found["ca.crt"].split(old.roots)
        assert new_root.count(b"BEGIN") == 1
        assert not rest
        assert await hook.roots() == found["ca.crt"]


async def test_a_new_authority_that_everybody_knows_signs_while_reviews_go_on(
    server: ApiServer, api: ApiClient, tmp_path: Path
) -> None:
    old = aged(timedelta(days=2), timedelta(days=1))
    rotated = carry_out(Action.ROTATE, old, NAMES, datetime.now(UTC) - TERMS.overlap * 2)
    new_root, _ = rotated.roots.split(old.roots)
    await put_secret(api, replace(old, roots=old.roots + new_root))
    async with hooked(server, api, tmp_path) as hook, always_refusing(hook):
        assert await served(hook.port, old.roots) == old.certificate
        await put_secret(api, rotated)

        async def signed() -> bool:
            found = await secret(api)
            if found["tls.crt"] == old.certificate or await hook.roots() != rotated.roots:
                return False
            return await served(hook.port, new_root) == found["tls.crt"]

        await until(signed)


@pytest.mark.parametrize("key", ["tls.key", "ca.crt"])
async def test_a_secret_that_somebody_spoilt_is_repaired_and_logged(
    server: ApiServer, api: ApiClient, tmp_path: Path, key: str
) -> None:
    async with hooked(server, api, tmp_path) as hook:
        before = await secret(api)
        await send(
            api,
            *("PATCH", f"{SECRETS}/{SECRET}", {"data": {key: "bm9uc2Vuc2U="}}),
            headers=MERGE,
        )

        async def repaired() -> bool:
            found = await secret(api)
            if b"nonsense" in found.values() or await hook.roots() != found["ca.crt"]:
                return False
            return await served(hook.port, found["ca.crt"]) == found["tls.crt"]

        await until(repaired)
        await until(hook.refuses)
        assert (await secret(api))[key] != before[key]
        assert hook.logged("webhook.renewed", "it cannot be used", "its authority cannot be used")


async def test_replicas_that_begin_at_once_serve_what_one_of_them_made(
    server: ApiServer, api: ApiClient, tmp_path: Path
) -> None:
    async with AsyncExitStack() as open_:
        rivals = [SharedSecret(await _api(open_, server), OWN_NAMESPACE, NAMES) for _ in range(8)]
        made = await asyncio.gather(*(each.current() for each in rivals))
        assert len({(each.certificate, each.key, each.roots) for each in made}) == 1
        due = carry_out(Action.ROTATE, None, NAMES, datetime.now(UTC) - TERMS.root * 3 / 4)
        await put_secret(api, due)
        rotated = await asyncio.gather(*(each.current() for each in rivals))
        assert len({(each.certificate, each.key, each.roots) for each in rotated}) == 1
        assert (await secret(api))["ca.crt"].endswith(due.roots)
    await send(api, "DELETE", f"{SECRETS}/{SECRET}")


async def _api(open_: AsyncExitStack, server: ApiServer) -> Api:
    found = await Api.connected(server.connect)
    open_.push_async_callback(found.close)
    return found


async def test_two_processes_share_a_secret_and_agree_on_the_configuration(
    server: ApiServer, api: ApiClient, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    port = free_port()
    async with replica(server.kubeconfig, other, port), hooked(server, api, tmp_path) as hook:
        found = await secret(api)

        async def same() -> bool:
            return await served(port, found["ca.crt"]) == found["tls.crt"]

        await until(same)
        assert await served(hook.port, found["ca.crt"]) == found["tls.crt"]
        await until(lambda: _is(hook, "Fail"))
        changes = await hook.generation()
        where = (await hook.webhook())["clientConfig"]["url"]
        await hook.change(clientConfig={"url": where, "caBundle": ""})
        await until(lambda: _trusts(hook, found["ca.crt"]))
        await until(hook.refuses)
        assert await hook.generation() == changes + 2  # spoilt, and repaired by one of them
        assert await secret(api) == found


async def _trusts(hook: Hooked, pem: bytes) -> bool:
    return await hook.roots() == pem


async def test_while_the_api_server_is_away_the_webhook_stays_as_it_is(
    server: ApiServer, api: ApiClient, tmp_path: Path
) -> None:
    async with hooked(server, api, tmp_path) as hook:
        found = await secret(api)
        await server.kill()
        await until(lambda: _logged(hook, "webhook.unmaintained"))
        assert await served(hook.port, found["ca.crt"]) == found["tls.crt"]
        await server.start()
        await until(hook.refuses)
        assert await secret(api) == found


async def _logged(hook: Hooked, event: str) -> bool:
    return hook.logged(event)


@pytest.mark.parametrize("known", [True, False], ids=["with its authority", "without"])
async def test_files_of_somebody_else_are_served_and_read_again(
    server: ApiServer,
    api: ApiClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    known: bool,
) -> None:
    first = aged(timedelta(days=2), timedelta(days=1))
    again = carry_out(Action.RENEW, first, NAMES, datetime.now(UTC))
    certificate, key, authority = (tmp_path / name for name in ("c.pem", "k.pem", "ca.pem"))
    write(certificate, key, first)
    authority.write_bytes(first.roots)
    monkeypatch.setenv("MELTEMI_WEBHOOK_CERT", str(certificate))
    monkeypatch.setenv("MELTEMI_WEBHOOK_KEY", str(key))
    if known:
        monkeypatch.setenv("MELTEMI_WEBHOOK_CA", str(authority))
    installed = b"" if known else first.roots
    async with hooked(server, api, tmp_path, installed) as hook:
        assert await hook.roots() == first.roots
        write(certificate, key, again)

        async def replaced() -> bool:
            return await served(hook.port, first.roots) == again.certificate

        await until(replaced)
        key.write_text("nonsense")
        await until(lambda: _logged(hook, "webhook.unmaintained"))
        assert await replaced()
        await until(lambda: _is(hook, "Fail"))
        assert await hook.roots() == first.roots
        assert not any((await secret(api)).values())


def write(certificate: Path, key: Path, material: Material) -> None:
    certificate.write_bytes(material.certificate)
    key.write_bytes(material.key)


async def test_what_it_may_not_do_is_said_with_the_next_step_and_done_once_it_may(
    server: ApiServer, api: ApiClient, tmp_path: Path
) -> None:
    port = free_port()
    kubeconfig = await account(server, api, tmp_path)
    await grant(api, "reader", READING)
    await install(api, port)
    async with replica(kubeconfig, tmp_path, port) as meltemi:
        hook = Hooked(api, meltemi, port, tmp_path)
        await until(lambda: _logged(hook, "webhook.unmaintained"))
        await until(lambda: _logged(hook, "webhook.unregistered"))
        assert not await hook.refuses()
        assert await meltemi.ready()
        await grant(api, "webhook", KEEPING)
        await until(hook.refuses)
    await uninstall(api)
