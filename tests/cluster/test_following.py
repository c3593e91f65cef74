"""A source follows a real API server: everything is told once, nothing is lost, whatever happens
to the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kubernetes.aio import client

from meltemi.controller.kube.kinds import Kind
from meltemi.controller.kube.state import State
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.following import following
from tests.cluster.objects import KINDS, apply, definition, delete, router, service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

pytestmark = pytest.mark.cluster

SERVICES = (KINDS["Service"],)


@pytest.fixture
async def own(assets: Path, tmp_path: Path) -> AsyncGenerator[ApiServer]:
    """A server that the test may stop."""
    async with ApiServer(assets, tmp_path) as server:
        yield server


async def test_what_was_there_and_what_changes_is_told_once(
    server: ApiServer, admin: ApiClient, namespace: str
) -> None:
    await apply(admin, service(namespace, "before"))
    async with following(server.connect, kinds=SERVICES, namespaces=[namespace]) as source:
        await source.until(lambda source: source.synced)
        assert source.told == ["Service/before"]
        await apply(admin, service(namespace, "after"))
        await source.hears("Service/after")
        await apply(admin, service(namespace, "before", port=81))
        await source.hears("Service/before", times=2)
        await delete(admin, "Service", namespace, "after")
        await source.until(lambda source: source.deleted == ["Service/after"])
        assert source.told == ["Service/before", "Service/after", "Service/before"]


async def test_other_namespaces_are_not_looked_at(
    server: ApiServer, admin: ApiClient, namespace: str
) -> None:
    await apply(admin, service("default", "elsewhere"))
    await apply(admin, service(namespace, "here"))
    async with following(server.connect, kinds=SERVICES, namespaces=[namespace]) as source:
        await source.until(lambda source: source.synced)
        assert source.told == ["Service/here"]


async def test_more_than_a_page_is_read_also_by_a_server_that_does_not_stream_lists(
    assets: Path, tmp_path: Path
) -> None:
    async with (
        ApiServer(assets, tmp_path, ["--feature-gates=WatchList=false"]) as own,
        administrator(own) as admin,
    ):
        for number in range(510):
            await apply(admin, service("default", f"s-{number}"))
        async with following(own.connect, kinds=SERVICES) as source:
            await source.until(lambda source: source.synced)
            assert sorted(source.told) == sorted(f"Service/s-{number}" for number in range(510))
            await apply(admin, service("default", "later"))
            await source.hears("Service/later")


async def test_a_server_that_crashes_and_returns_tells_only_what_is_new(own: ApiServer) -> None:
    async with (
        administrator(own) as admin,
        following(own.connect, kinds=SERVICES) as source,
    ):
        await apply(admin, service("default", "kept"))
        await source.hears("Service/kept")
        await own.kill()
        await source.until(lambda source: source.state("services") is State.FAILING)
        assert source.deleted == []
        await own.start()
        await apply(admin, service("default", "new"))
        await source.hears("Service/new")
        assert source.told == ["Service/kept", "Service/new"]
        assert source.deleted == []


async def test_what_was_deleted_while_the_server_forgot_is_told(own: ApiServer) -> None:
    """The server comes back without the history that the watch needs: 410, and all is listed."""
    async with (
        administrator(own) as admin,
        following(own.connect, kinds=SERVICES) as source,
    ):
        for name in ("kept", "dropped"):
            await apply(admin, service("default", name))
            await source.hears(f"Service/{name}")
        own.pause()
        await own.kill()
        await own.start()
        await delete(admin, "Service", "default", "dropped")
        await source.until(lambda source: source.deleted == ["Service/dropped"])
        assert source.told == ["Service/kept", "Service/dropped"]


async def test_a_server_that_falls_silent_is_noticed(own: ApiServer) -> None:
    async with (
        administrator(own) as admin,
        following(own.connect, kinds=SERVICES, idle=1.0) as source,
    ):
        await source.until(lambda source: source.synced)
        own.pause()
        await source.until(lambda source: source.state("services") is State.FAILING)
        own.resume()
        await apply(admin, service("default", "new"))
        await source.hears("Service/new")
        assert source.deleted == []


async def test_a_kind_that_comes_later_is_read_then_and_holds_up_nobody(own: ApiServer) -> None:
    kinds = (*SERVICES, KINDS["MetaRouter"])
    async with (
        administrator(own) as admin,
        following(own.connect, kinds=kinds) as source,
    ):
        await source.until(lambda source: source.synced)
        assert source.state("metarouters") is State.ABSENT
        await apply(admin, definition(KINDS["MetaRouter"]))
        await source.until(lambda source: source.state("metarouters") is State.FOLLOWING)
        await apply(admin, router("default", "shop"))
        await source.hears("MetaRouter/shop")


async def test_a_kind_that_may_not_be_read_holds_up_nobody_unless_it_must_be_read(
    server: ApiServer, admin: ApiClient, namespace: str
) -> None:
    async def nobody() -> client.Configuration:
        known, found = await server.connect(), client.Configuration()
        found.host, found.ssl_ca_cert = known.host, known.ssl_ca_cert
        return found

    optional = Kind("", "Pod", "pods", ("v1",))
    async with following(nobody, kinds=[optional], namespaces=[namespace]) as source:
        await source.until(lambda source: source.synced)
        assert source.state("pods") is State.DENIED
        assert "pods is forbidden" in source.reason("pods")
    async with following(nobody, kinds=SERVICES, namespaces=[namespace]) as source:
        await source.until(lambda source: source.state("services") is State.DENIED)
        assert not source.synced
