"""A source that may not read everything, or whose credentials change: it does what it may."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from meltemi.controller.kube import references
from meltemi.controller.kube.state import State
from meltemi.controller.plane import ControlPlane
from meltemi.controller.settings import Settings
from meltemi.controller.sources.kube import KubeSource
from meltemi.protocols.registry import load
from meltemi.testing.ports import LOOPBACK
from tests.cluster.accounts import Account, rule
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.following import following
from tests.cluster.objects import KINDS, apply, definition, delete, send, service

if TYPE_CHECKING:
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

pytestmark = pytest.mark.cluster

PATIENCE_S = 60.0
SERVICES = rule("", "services", ["get", "list", "watch"])
REDIS = rule("redis.aeraki.io", "redisservices", ["get", "list", "watch"])


def redis(namespace: str, name: str, secret: str) -> dict[str, Any]:
    """A RedisService whose password is in a Secret."""
    auth = {"auth": {"secret": {"name": secret}}} if secret else {}
    return {
        "apiVersion": "redis.aeraki.io/v1alpha1",
        "kind": "RedisService",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"host": [f"{name}.example"], "settings": auth},
    }


async def keep(admin: ApiClient, namespace: str, name: str, password: str) -> None:
    """Write a new Secret."""
    data = {"password": b64encode(password.encode()).decode()}
    body = {"metadata": {"name": name}, "data": data}
    await send(admin, "POST", f"/api/v1/namespaces/{namespace}/secrets", body)


async def test_a_denied_kind_is_told_and_followed_as_soon_as_it_may_be(
    server: ApiServer, admin: ApiClient, namespace: str, tmp_path: Path
) -> None:
    account = Account(server, namespace, tmp_path)
    await account.grant("services", SERVICES)
    await apply(admin, service(namespace, "shop"))
    kinds = [KINDS["Service"], KINDS["Pod"]]
    async with following(account.connect, kinds=kinds, namespaces=[namespace]) as source:
        await source.until(lambda source: source.synced and "pods" in source.wrong)
        assert source.told == ["Service/shop"]
        problem = source.wrong["pods"]
        assert problem.code == "MEL0601"
        assert "get, list and watch pods" in problem.cause
        assert f"system:serviceaccount:{namespace}:meltemi" in problem.cause
        assert "role" in problem.next_step
        await account.grant("pods", rule("", "pods", ["get", "list", "watch"]))
        await source.until(lambda source: not source.wrong)
        assert source.state("pods") is State.FOLLOWING
        await delete(admin, "Service", namespace, "shop")
        await source.until(lambda source: source.deleted == ["Service/shop"])


async def test_secrets_are_read_by_name_under_a_role_that_allows_no_more(
    server: ApiServer, admin: ApiClient, namespace: str, tmp_path: Path
) -> None:
    await apply(admin, definition(KINDS["RedisService"]))
    account = Account(server, namespace, tmp_path)
    await account.grant("rules", REDIS, rule("", "secrets", ["get", "watch"], "first", "second"))
    for name in ("first", "unnamed"):
        await keep(admin, namespace, name, "old")
    await apply(admin, redis(namespace, "cache", "first"))
    async with following(
        account.connect, kinds=[KINDS["RedisService"]], namespaces=[namespace]
    ) as source:
        await source.until(lambda source: source.synced)
        assert sorted(source.told) == ["RedisService/cache", "Secret/first"]
        # Absent, and there later: its object need not wait.
        await apply(admin, redis(namespace, "cache", "second"))
        await source.hears("RedisService/cache", times=2)
        await source.until(lambda source: source.deleted == ["Secret/first"])
        await keep(admin, namespace, "second", "new")
        await source.hears("Secret/second")
        await send(admin, "DELETE", f"/api/v1/namespaces/{namespace}/secrets/second", {})
        await source.until(lambda source: source.deleted == ["Secret/first", "Secret/second"])
        assert source.wrong == {}


async def test_a_denied_secret_locks_nothing_else_and_is_read_once_it_may_be(
    server: ApiServer, admin: ApiClient, namespace: str, tmp_path: Path
) -> None:
    await apply(admin, definition(KINDS["RedisService"]))
    account = Account(server, namespace, tmp_path)
    await account.grant("rules", REDIS)
    await keep(admin, namespace, "vault", "word")
    await apply(admin, redis(namespace, "cache", "vault"))
    async with following(
        account.connect, kinds=[KINDS["RedisService"]], namespaces=[namespace]
    ) as source:
        await source.until(lambda source: source.synced and bool(source.wrong))
        assert source.told == ["RedisService/cache"]
        assert "get and watch" in source.wrong["secrets/vault"].cause
        assert "resourceNames [vault]" in source.wrong["secrets/vault"].next_step
        await account.grant("vault", rule("", "secrets", ["get", "watch"], "vault"))
        await source.hears("Secret/vault")
        await source.until(lambda source: not source.wrong)


async def test_a_namespace_that_names_too_many_secrets_is_told(
    server: ApiServer, admin: ApiClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "MOST", 1)
    await apply(admin, definition(KINDS["RedisService"]))
    for name in ("first", "second"):
        await keep(admin, namespace, name, "word")
        await apply(admin, redis(namespace, name, name))
    async with following(
        server.connect, kinds=[KINDS["RedisService"]], namespaces=[namespace]
    ) as source:
        await source.until(lambda source: source.synced)
        services = ["RedisService/first", "RedisService/second"]
        assert sorted(source.told) == [*services, "Secret/first"]
        assert source.wrong["secrets"].code == "MEL0603"
        await delete(admin, "RedisService", namespace, "first")
        await source.hears("Secret/second")
        await source.until(lambda source: "Secret/first" in source.deleted)
        assert source.wrong == {}


async def test_proxies_are_served_while_a_password_may_not_be_read_and_the_lock_opens_by_itself(
    server: ApiServer, admin: ApiClient, namespace: str, tmp_path: Path
) -> None:
    await apply(admin, definition(KINDS["RedisService"]))
    account = Account(server, namespace, tmp_path)
    slices = rule("discovery.k8s.io", "endpointslices", ["get", "list", "watch"])
    await account.grant("most", SERVICES, REDIS, slices)
    await keep(admin, namespace, "vault", "word")
    cache = service(namespace, "cache")
    cache["spec"]["ports"] = [{"name": "tcp-redis", "port": 6379}]
    await apply(admin, cache)
    rules = redis(namespace, "cache", "vault")
    rules["spec"]["host"] = ["cache"]
    await apply(admin, rules)
    kinds = [KINDS[kind] for kind in ("Service", "EndpointSlice", "RedisService")]
    source = KubeSource(account.connect, kinds=kinds, namespaces=[namespace])
    plane = ControlPlane(load(), source, Settings())

    async def told(*codes: str) -> None:
        """Until this is wrong, and nothing else, and proxies are served."""
        async with asyncio.timeout(PATIENCE_S):
            wanted = {*codes}
            # The board tells nobody.
            while not plane.ready or {each.problem.code for each in plane.findings} != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async with plane.running(f"{LOOPBACK}:0"):
        await told("MEL0403", "MEL0601")
        await account.grant("vault", rule("", "secrets", ["get", "watch"], "vault"))
        await told()


async def test_a_token_that_was_replaced_is_read_when_the_old_one_is_refused(
    assets: Path, tmp_path: Path
) -> None:
    async with ApiServer(assets, tmp_path) as server, administrator(server) as admin:
        account = Account(server, "default", tmp_path)
        await account.grant("services", SERVICES)
        async with following(
            account.connect, kinds=[KINDS["Service"]], namespaces=["default"]
        ) as source:
            await source.until(lambda source: source.synced)
            await account.renew()
            # A watch that is open goes on, whoever opened it.
            await apply(admin, service("default", "meanwhile"))
            await source.hears("Service/meanwhile")
            await server.kill()
            await server.start()
            await apply(admin, service("default", "after"))
            await source.hears("Service/after")
            # Without an account nobody lets us in, and nothing is deleted.
            await account.delete()
            await server.kill()
            await server.start()
            await source.until(lambda source: "401" in source.reason("services"))
            assert source.state("services") is State.FAILING
            await account.renew()
            await apply(admin, service("default", "later"))
            await source.hears("Service/later")
            assert source.told == [f"Service/{name}" for name in ("meanwhile", "after", "later")]
            assert source.deleted == []
