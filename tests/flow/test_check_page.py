"""``/check`` of a running control plane: who may see it, and what it tells of proxies."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from kubernetes.aio.config import ConfigException

from meltemi.controller.admin.security import AdminSecurity
from meltemi.controller.admin.server import serve_admin
from meltemi.controller.health.ports import Port
from meltemi.controller.health.replica import FRESH_S, ReplicaHealth
from meltemi.controller.manifests.wish import Wish
from meltemi.controller.settings import Settings
from meltemi.controller.sources.files import FilesSource
from meltemi.testing.ports import LOOPBACK, free_port
from meltemi.testing.standalone import embedded_meltemi
from meltemi.testing.xds_client import sotw_request
from meltemi.xds.resource import CLUSTER
from tests.flow.operated import PATIENCE, Operated, introduce

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from kubernetes.aio.client import Configuration

    from meltemi.controller.health.result import HealthRecord
    from meltemi.controller.sources import Followed

ROOT, SHOP = "root-token-0123456789", "shop-token-0123456789"
RULES = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart}
spec:
  hosts: [cart.example]
  resolution: STATIC
  ports: [{number: 20880, name: tcp-dubbo}]
  endpoints: [{address: 10.9.8.7}]
"""


@asynccontextmanager
async def looked_after(folder: Path, *ports: Port) -> AsyncGenerator[Operated]:
    """With a page for those who have a token."""
    tokens = folder / "tokens"
    tokens.write_text(f"{ROOT} *\n{SHOP} shop\n")
    rules = folder / "rules.yaml"
    rules.write_text(RULES)
    async with embedded_meltemi(rules) as meltemi:
        plane = meltemi.plane
        # Each time is long after the last one.
        clock = itertools.count(0.0, 2 * FRESH_S).__next__
        health = ReplicaHealth(plane, FilesSource(rules), Settings(), ports, clock=clock)
        security = AdminSecurity(tokens)
        async with serve_admin(plane, LOOPBACK, 0, security, lambda: health) as port:
            yield Operated(plane, meltemi.xds, port)


def told(answer: HealthRecord, check: str) -> list[tuple[str, str]]:
    return [(each["state"], each["text"]) for each in answer["results"] if each["check"] == check]


async def test_it_is_for_those_who_may_see_everything(tmp_path: Path) -> None:
    async with looked_after(tmp_path) as meltemi:
        answers = [await meltemi.ask("/check", token) for token in ("", SHOP, ROOT)]
        changed = await meltemi.ask("/check", ROOT, method="POST")
    assert [each.status for each in answers] == [401, 403, 200]
    assert changed.status == 405


async def test_a_control_plane_that_nobody_looks_after_has_no_such_page(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    async with (
        embedded_meltemi(rules) as meltemi,
        serve_admin(meltemi.plane, LOOPBACK, 0) as port,
    ):
        answer = await Operated(meltemi.plane, meltemi.xds, port).ask("/check")
    assert answer.status == 404


async def test_a_proxy_that_refuses_something_is_an_error(tmp_path: Path) -> None:
    async with looked_after(tmp_path) as meltemi, meltemi.client() as client:
        before = (await meltemi.ask("/check", ROOT)).data
        await client.say(introduce(sotw_request(CLUSTER), "edge"))
        response = await client.hear()
        accepted = sotw_request(CLUSTER, version=response.version, nonce=response.nonce)
        await client.say(accepted)
        connected = (await meltemi.ask("/check", ROOT)).data
        async with meltemi.client() as other:
            await other.say(introduce(sotw_request(CLUSTER), "edge-2", capable=False))
            nonce = (await other.hear()).nonce
            await other.say(sotw_request(CLUSTER, nonce=nonce, error="no"))
            refused = connected
            async with asyncio.timeout(PATIENCE):
                while not any(state == "error" for state, _ in told(refused, "proxies")):
                    refused = (await meltemi.ask("/check", ROOT)).data
    assert told(before, "proxies") == [("warning", "no proxy is connected")]
    assert told(connected, "proxies") == [("fine", "1 connected, and none refuses anything")]
    assert told(refused, "proxies") == [
        ("error", "1 of 2 refuse something: edge-2"),
        ("warning", "some have no engine for protocols that they should serve: dubbo"),
    ]


async def test_a_port_where_nobody_listens_is_an_error(tmp_path: Path) -> None:
    port = Port("xds", LOOPBACK, free_port())
    async with looked_after(tmp_path, port) as meltemi:
        answer = (await meltemi.ask("/check", ROOT)).data
    assert told(answer, "ports") == [("error", f"{port}: nobody listens")]


class Counted(FilesSource):
    """Knows how often it was looked at."""

    looks = 0

    def followed(self) -> tuple[Followed, ...]:
        self.looks += 1
        return super().followed()


async def test_who_asks_again_and_again_is_answered_again(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    source, now = Counted(rules), 0.0
    async with embedded_meltemi(rules) as meltemi:
        health = ReplicaHealth(meltemi.plane, source, Settings(), clock=lambda: now)
        first, second = await asyncio.gather(health.report(), health.report())
        now = FRESH_S - 0.1
        assert first == second == await health.report()
        assert source.looks == 1
        now = FRESH_S
        await health.report()
        assert source.looks == 2


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ConfigException("no file"), "no API server is configured: no file. "),
        (RuntimeError("broken"), "the check itself failed: RuntimeError: broken"),
    ],
)
async def test_a_cluster_that_cannot_be_looked_at_is_one_line_beside_the_others(
    tmp_path: Path, failure: Exception, said: str
) -> None:
    async def connect() -> Configuration:
        raise failure

    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    async with embedded_meltemi(rules) as meltemi:
        source, wish = FilesSource(rules), Wish(image="meltemi")
        health = ReplicaHealth(meltemi.plane, source, Settings(), (), connect, wish)
        answer = await health.report()
    ((state, text),) = told(answer, "api")
    assert (state, text.startswith(said)) == ("error", True)
    assert told(answer, "source") == [("fine", "all files are read, and followed")]
