"""What ``meltemi serve --kube`` says on the objects of a real API server, of a real Envoy."""

from __future__ import annotations

import asyncio
import json
import socket
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.testing.ports import LOOPBACK, free_port
from meltemi.testing.standalone import standalone_envoy
from tests.cluster.objects import apply, delete, entry, router, send
from tests.cluster.replicas import (
    PATIENCE_S,
    Stage,
    redis_entry,
    redis_service,
    staged,
    until,
)
from tests.cluster.seen import metric
from tests.cluster.specimens import all_objects

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = [pytest.mark.cluster, pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

QUIET_S = 10.0
"""For so long nothing must happen."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Stage]:
    async with staged(assets, tmp_path_factory.mktemp("status")) as stage:
        yield stage


async def test_kubectl_waits_for_a_rule_and_describes_what_became_of_it(stage: Stage) -> None:
    await stage.put("waits")
    async with stage.replica("one") as meltemi:
        found = await stage.until_condition("MetaRouter", "waits", "NoProxies")
        assert found["status"] == "False"
        timeout = await stage.kubectl.tried(
            "wait", "--for=condition=Programmed", "metarouter/waits", "--timeout=1s"
        )
        assert timeout.code == 1
        async with standalone_envoy(meltemi.xds) as envoy:
            await envoy.wait_ready()
            await stage.kubectl.run(
                "wait", "--for=condition=Programmed", "metarouter/waits", f"--timeout={PATIENCE_S}s"
            )
            status = (await stage.get("MetaRouter", "waits"))["status"]
            assert status["rollout"] == {
                "proxies": 1,
                "acked": 1,
                "nacked": 0,
                "pending": 0,
                "unsupported": 0,
            }
            assert status["observedGeneration"] == 1
            await until(
                lambda: describes(stage, "metarouter", "waits", "Normal  Programmed"),
                lambda: "there is no event",
            )
            columns = await stage.kubectl.run("get", "metarouter", "waits")
            assert columns.split()[:8] == [
                *("NAME", "HOSTS", "ACCEPTED", "PROGRAMMED", "AGE"),
                *("waits", '["waits.example"]', "True"),
            ]


async def describes(stage: Stage, kind: str, name: str, text: str) -> bool:
    """Whether ``kubectl describe`` shows a text, however wide its columns are."""
    shown = await stage.kubectl.run("describe", kind, name)
    return " ".join(text.split()) in " ".join(shown.split())


async def test_a_refusal_stands_on_the_rule_in_envoys_words_until_it_is_fixed(
    stage: Stage, record_testsuite_property: Any
) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        async with stage.replica("one") as meltemi, standalone_envoy(meltemi.xds) as envoy:
            await envoy.wait_ready()
            await stage.until_leads(meltemi)
            await apply(stage.admin, redis_service("refused", "1s"))
            await stage.until_condition("RedisService", "refused", "HostNotFound", "Effective")
            applied = monotonic()
            await apply(stage.admin, redis_entry("refused", taken.getsockname()[1]))
            found = await stage.until_condition("RedisService", "refused", "ProxyRejected")
            record_testsuite_property("seconds until a refusal was told", monotonic() - applied)
            assert found["status"] == "False"
            assert "Address already in use" in found["message"]
            assert "1 of 1 proxy refused it" in found["message"]
            status = (await stage.get("RedisService", "refused"))["status"]
            assert status["rollout"]["nacked"] == 1
            await until(
                lambda: describes(stage, "redisservice", "refused", "Warning  ProxyRejected"),
                lambda: "there is no event",
            )
            taken.close()
            fixed = monotonic()
            await apply(stage.admin, redis_service("refused", "2s"))
            await stage.until_condition("RedisService", "refused", "Programmed")
            record_testsuite_property("seconds until it was fixed", monotonic() - fixed)
            await until(
                lambda: describes(stage, "redisservice", "refused", "Normal  Programmed"),
                lambda: "there is no event",
            )
    await delete(stage.admin, "RedisService", "default", "refused")
    await delete(stage.admin, "ServiceEntry", "default", "refused")


async def test_a_rule_that_cannot_be_read_says_so_and_what_stays_in_force(stage: Stage) -> None:
    await stage.put("broken")
    async with stage.replica("one") as meltemi, standalone_envoy(meltemi.xds) as envoy:
        await envoy.wait_ready()
        await stage.until_condition("MetaRouter", "broken", "Programmed")
        body = router("default", "broken", "v1")
        body["spec"]["routes"][0]["match"] = {"attributes": {"method": {"regex": "("}}}
        await apply(stage.admin, body)
        found = await stage.until_condition("MetaRouter", "broken", "PartiallyInvalid", "Accepted")
        assert found["status"] == "False"
        assert "MEL0" in found["message"]
        await apply(stage.admin, router("default", "broken", "v2"))
        await stage.until_condition("MetaRouter", "broken", "Accepted", "Accepted")
        await stage.until_condition("MetaRouter", "broken", "Programmed")


async def test_nothing_is_written_while_nothing_changes_and_while_only_endpoints_do(
    stage: Stage,
) -> None:
    await stage.put("quiet")
    async with stage.replica("one") as meltemi, standalone_envoy(meltemi.xds) as envoy:
        await envoy.wait_ready()
        await stage.until_condition("MetaRouter", "quiet", "Programmed")
        await until(lambda: settled(meltemi), lambda: "statuses wait to be written")
        before = written(stage)
        await asyncio.sleep(QUIET_S)
        assert written(stage) == before
        port = free_port()
        for _ in range(20):
            ends = {"v1": free_port(), "v2": free_port()}
            await apply(stage.admin, entry("default", "quiet", port, ends))
            await asyncio.sleep(0.2)
        await until(lambda: settled(meltemi), lambda: "statuses wait to be written")
        assert len(written(stage)["metarouters/status"]) - len(before["metarouters/status"]) <= 2
        before = written(stage)
        await apply(stage.admin, router("default", "quiet", "v2"))  # the control
        await stage.until_condition("MetaRouter", "quiet", "Programmed")
        assert written(stage) != before


async def settled(meltemi: Any) -> bool:
    return await metric(meltemi, "meltemi_status_waiting") == 0


def written(stage: Stage) -> dict[str, list[Any]]:
    """All that Meltemi wrote but for the Lease."""
    resources = ("metarouters/status", "redisservices/status", "events", "configmaps")
    return {each: stage.writes(each) for each in resources}


async def test_conditions_of_others_survive_and_conflicts_are_tried_again(stage: Stage) -> None:
    await stage.put("shared")
    path = "/apis/metaprotocol.aeraki.io/v1alpha1/namespaces/default/metarouters/shared/status"
    async with stage.replica("one") as meltemi, standalone_envoy(meltemi.xds) as envoy:
        await envoy.wait_ready()
        await stage.until_condition("MetaRouter", "shared", "Programmed")

        async def audit(number: int) -> None:
            """Another controller, which does not know ours."""
            body = await stage.get("MetaRouter", "shared")
            theirs = {"type": "Audited", "status": "True", "reason": f"N{number}"}
            theirs |= {"lastTransitionTime": "2026-01-01T00:00:00Z", "message": ""}
            ours = [each for each in body["status"]["conditions"] if each["type"] != "Audited"]
            body["status"]["conditions"] = [*ours, theirs]
            await send(stage.admin, "PUT", path, body, may=(409,))

        for number in range(10):
            version = "v1" if number % 2 else "v2"
            await asyncio.gather(
                apply(stage.admin, router("default", "shared", version)), audit(number)
            )
        await audit(10)
        await stage.until_condition("MetaRouter", "shared", "Programmed")
        assert (await stage.condition("MetaRouter", "shared", "Audited"))["reason"] == "N10"


async def test_every_kind_with_a_status_gets_one(stage: Stage) -> None:
    wanted = {each.kind for each in DEFINITIONS if each.decoded is not None}
    objects = {each["kind"]: each for each in all_objects() if each["kind"] in wanted}
    assert objects.keys() == wanted
    for body in objects.values():
        await stage.kubectl.run("apply", "-n", "default", "-f", "-", stdin=json.dumps(body))
    async with stage.replica("one") as meltemi:
        for kind, body in objects.items():
            await until(
                partial(accepted, stage, kind, body["metadata"]["name"]),
                partial("{} has no status".format, kind),
            )
        await until(lambda: settled(meltemi), lambda: "statuses wait to be written")
        assert await metric(meltemi, 'meltemi_status_writes_total{outcome="failed"}') == 0


async def accepted(stage: Stage, kind: str, name: str) -> bool:
    status = (await stage.get(kind, name)).get("status", {})
    return "Accepted" in {each["type"] for each in status.get("conditions", ())}


async def test_where_statuses_are_not_wanted_nothing_is_written(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELTEMI_WRITE_STATUS", "0")
    await stage.put("unsaid")
    before = len(stage.writes("leases")), written(stage)
    async with stage.replica("one") as meltemi, standalone_envoy(meltemi.xds) as envoy:
        await envoy.wait_ready()
        findings = json.loads((await meltemi.get("/findings")).body)
        assert isinstance(findings, list)
        await asyncio.sleep(1.0)
    assert (len(stage.writes("leases")), written(stage)) == before
    assert "status" not in await stage.get("MetaRouter", "unsaid")
