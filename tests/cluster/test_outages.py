"""What etcd forgets and what a server that is away cannot say: nothing is lost, nothing deleted."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from meltemi.controller.kube import reflector as module
from meltemi.controller.kube.api import Api
from meltemi.controller.kube.mirror import Gone, mapping, revision_of
from meltemi.controller.kube.reflector import PAGE, Reflector
from meltemi.controller.kube.state import State
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.following import following
from tests.cluster.objects import KINDS, apply, delete, service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.kube.reflector import News

pytestmark = pytest.mark.cluster

NO_CACHE = ["--watch-cache=false"]
"""Else the API server answers from its own memory what etcd has forgotten."""
PAGED = [*NO_CACHE, "--feature-gates=WatchList=false"]
PATIENCE_S = 60.0


class ForgetfulApi(Api):
    """Whose etcd is compacted before each watch that goes on, and before the second page. Watches
    are short.
    """

    server: ApiServer
    compacted = 0

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Body:
        if "continue" in (query or {}) and not self.compacted:
            await self._compact()
        return await super().get(path, query)

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        if "resourceVersion" in query and not self.compacted:
            await self._compact()
        async with super().stream(path, {**query, "timeoutSeconds": "1"}) as lines:
            yield lines

    async def _compact(self) -> None:
        """At a revision after all that has been read; an object goes, and another one comes."""
        async with administrator(self.server) as admin:
            await delete(admin, "Service", "default", "gone")
            await apply(admin, service("default", "new"))
        newest = await super().get("/api/v1/services", {"limit": "1"})
        await self.server.compact(str(revision_of(mapping(newest["metadata"]))))
        self.compacted += 1


class Told:
    """What a reflector has told, by the objects' names."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.gone: list[str] = []
        self._news = asyncio.Event()

    def deliver(self, news: Sequence[News]) -> None:
        for each in news:
            (self.gone if isinstance(each, Gone) else self.seen).append(each.name.name)
        self._news.set()

    async def of_both(self) -> None:
        """Until it has heard of the object that came and of the one that went."""
        async with asyncio.timeout(PATIENCE_S):
            while "new" not in self.seen or not self.gone:
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def reflected(server: ApiServer) -> AsyncGenerator[tuple[Told, Reflector, ForgetfulApi]]:
    api = ForgetfulApi(await server.connect())
    api.server = server
    told = Told()
    reflector = Reflector(KINDS["Service"], api, told.deliver)
    running = asyncio.create_task(reflector.run())
    try:
        yield told, reflector, api
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await api.close()


async def test_a_list_whose_second_page_etcd_has_forgotten_begins_anew(
    assets: Path, tmp_path: Path
) -> None:
    async with ApiServer(assets, tmp_path, PAGED) as server:
        async with administrator(server) as admin:
            for name in ("gone", *(f"s-{number}" for number in range(PAGE + 5))):
                await apply(admin, service("default", name))
        async with reflected(server) as (told, reflector, api):
            await told.of_both()
            await reflector.synced.wait()
            assert api.compacted == 1
            assert len(set(told.seen)) == len(told.seen) > PAGE + 5
            assert told.gone == ["gone"]


async def test_a_watch_whose_place_etcd_has_forgotten_lists_and_tells_the_difference(
    assets: Path, tmp_path: Path
) -> None:
    async with ApiServer(assets, tmp_path, NO_CACHE) as server, administrator(server) as admin:
        for name in ("kept", "gone"):
            await apply(admin, service("default", name))
        async with reflected(server) as (told, reflector, api):
            await told.of_both()
            assert (api.compacted, reflector.relists) == (1, 1)
            assert told.gone == ["gone"]
            assert told.seen.count("kept") == 1


async def test_while_the_server_is_away_nothing_is_deleted_and_an_operator_is_told(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALE_S", 15.0)
    services = [KINDS["Service"]]
    async with (
        ApiServer(assets, tmp_path) as server,
        administrator(server) as admin,
        following(server.connect, kinds=services) as source,
    ):
        for name in ("kept", "dropped"):
            await apply(admin, service("default", name))
            await source.hears(f"Service/{name}")
        await server.kill()
        await source.until(lambda source: source.state("services") is State.STALE)
        await source.until(lambda source: bool(source.wrong))
        assert source.wrong["services"].code == "MEL0602"
        assert source.deleted == []
        await server.start()
        await delete(admin, "Service", "default", "dropped")
        await source.until(lambda source: source.deleted == ["Service/dropped"])
        await source.until(lambda source: not source.wrong)
        assert source.told == ["Service/kept", "Service/dropped"]
