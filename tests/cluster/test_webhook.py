"""The validating webhook: a real API server asks a real Meltemi, and a real kubectl shows it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.definitions import create, definition_of, send
from tests.cluster.objects import apply, entry, subsets
from tests.cluster.specimens import all_objects
from tests.cluster.webhook_rig import (
    MERGE,
    ROUTERS,
    hooked,
    prepare,
    router,
    until,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

    from tests.cluster.specimens import Object
    from tests.cluster.webhook_rig import Hooked

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

AT_ONCE = 200
"""As many as an API server takes by default."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ApiServer]:
    """A server of its own: a webhook concerns everybody who writes our kinds."""
    async with ApiServer(assets, tmp_path_factory.mktemp("webhook")) as server:
        async with administrator(server) as api:
            await prepare(api)
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(server: ApiServer) -> AsyncGenerator[ApiClient]:
    async with administrator(server) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hook(
    server: ApiServer, api: ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Hooked]:
    """For the tests that leave it alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MELTEMI_WEBHOOK_SANS", "127.0.0.1")
        async with hooked(server, api, tmp_path_factory.mktemp("meltemi")) as hook:
            yield hook


class Shown(NamedTuple):
    """What kubectl said."""

    code: int | None
    out: str
    err: str


async def kubectl(server: ApiServer, *arguments: str, body: Object | None = None) -> Shown:
    process = await asyncio.create_subprocess_exec(
        server.kubectl,
        *("--kubeconfig", server.kubeconfig, "--cache-dir", server.folder / "kubectl"),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(json.dumps(body).encode())
    return Shown(process.returncode, out.decode(), err.decode())


async def test_a_good_object_is_applied_without_a_word(hook: Hooked, server: ApiServer) -> None:
    await apply(hook.api, entry("default", "good", 20880, {"v1": 1}))
    await apply(hook.api, subsets("default", "good", "v1"))
    good = router("good", subset="v1", host="good.example")

    async def silent() -> bool:
        return not (await kubectl(server, "apply", "--dry-run=server", "-f", "-", body=good)).err

    await until(silent)  # it has heard of the service by now
    assert await kubectl(server, "apply", "-f", "-", body=good) == (
        *(0, "metarouter.metaprotocol.aeraki.io/good created\n", ""),
    )


async def test_a_bad_object_is_refused_and_kubectl_shows_what_to_do(
    hook: Hooked, server: ApiServer
) -> None:
    bad = router("bad", regex="(?=a)")
    shown = await kubectl(server, "apply", "-f", "-", body=bad)
    assert shown.code == 1
    assert shown.err == (
        'The MetaRouter "bad" is invalid: spec.routes[0].match.attributes[method]: MEL0305: '
        "the regex '(?=a)' invalid perl operator: (?=; RE2 has no look-around and no "
        "back-references; it matches the whole value\n"
    )
    assert (await send(hook.api, "GET", f"{ROUTERS}/bad")).status == 404


async def test_all_errors_come_at_once_over_the_api(hook: Hooked) -> None:
    bad = router("bad", regex="(?=a)")
    bad["spec"]["routes"].append({**bad["spec"]["routes"][0], "mach": {}})
    answer = await hook.write(bad)
    assert answer.status == 422
    codes = [each["message"][:7] for each in answer.said["details"]["causes"]]
    assert sorted(codes) == ["MEL0305", "MEL0305", "MEL0316"]
    assert all(code in answer.said["message"] for code in codes)


async def test_what_is_wrong_between_objects_is_a_warning_and_judged_by_the_cluster(
    hook: Hooked, server: ApiServer
) -> None:
    body = router("early", subset="v9", host="early.example")
    shown = await kubectl(server, "apply", "-f", "-", body=body)
    assert shown.code == 0
    assert shown.err.startswith("Warning: MEL0308: no Service or ServiceEntry has the host")
    await apply(hook.api, entry("default", "early", 20881, {"v1": 1}))
    await apply(hook.api, subsets("default", "early", "v1"))

    async def warned() -> str:
        return (await kubectl(server, "replace", "--dry-run=server", "-f", "-", body=body)).err

    async def of_the_subset() -> bool:
        return "'early.example' defines the subset 'v9'; define it, or name one of: v1\n" in (
            await warned()
        )

    await until(of_the_subset)
    assert (await warned()).startswith("Warning: MEL0302 spec.routes[0].route: no DestinationRule")


async def test_a_dry_run_is_judged_and_leaves_nothing(hook: Hooked) -> None:
    assert (await hook.write(router("dry", regex="(?=a)"), dry_run=True)).status == 422
    assert (await hook.write(router("dry"), dry_run=True)).status == 201
    assert (await send(hook.api, "GET", f"{ROUTERS}/dry")).status == 404


async def test_a_name_that_the_server_makes_up_is_no_reason_to_refuse(hook: Hooked) -> None:
    body = router("")
    body["metadata"] = {"generateName": "made-up-"}
    answer = await hook.write(body)
    assert answer.status == 201
    body["spec"]["routes"][0]["match"] = {"attributes": {"m": {"regex": "("}}}
    assert (await hook.write(body)).status == 422


async def test_an_object_from_before_the_webhook_can_be_labelled_mended_and_deleted(
    hook: Hooked, server: ApiServer
) -> None:
    bad = router("old", regex="(?=a)")
    bad["metadata"]["finalizers"] = ["tests.example/wait"]
    async with hook.unregistered():
        assert (await hook.write(bad)).status == 201

    async def patched(change: Object) -> int:
        return (await send(hook.api, "PATCH", f"{ROUTERS}/old", change, headers=MERGE)).status

    assert await patched({"metadata": {"labels": {"team": "a"}}}) == 200
    shown = await kubectl(server, "label", "metarouter/old", "more=b")
    assert shown.code == 0
    assert "Warning: MEL0305" in shown.err
    worse: Any = {"spec": router("old", regex="(?!b)")["spec"]}
    assert await patched(worse) == 422
    status = {"status": {"observedGeneration": 1}}
    answer = await send(hook.api, "PATCH", f"{ROUTERS}/old/status", status, headers=MERGE)
    assert answer.status == 200
    assert (await send(hook.api, "DELETE", f"{ROUTERS}/old")).status == 200
    assert await patched({"metadata": {"finalizers": None}}) == 200
    assert (await send(hook.api, "GET", f"{ROUTERS}/old")).status == 404


async def test_hundreds_of_changes_at_once_are_all_judged(hook: Hooked, server: ApiServer) -> None:
    """By a webhook whose failures would refuse them."""
    await until(lambda: _fails(hook))
    before = await hook.reviews()
    trust = ssl.create_default_context(cafile=server.authority)
    trust.load_cert_chain(server.folder / "admin.pem")
    connector = aiohttp.TCPConnector(ssl=trust, limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def created(number: int) -> int:
            body = router(f"burst-{number}", host=f"burst-{number}.example")
            async with session.post(f"{server.url}{ROUTERS}", json=body) as response:
                return response.status

        statuses = await asyncio.gather(*(created(number) for number in range(2 * AT_ONCE)))
    assert Counter(statuses) == {201: 2 * AT_ONCE}
    assert await hook.reviews() - before == {"allowed": 2 * AT_ONCE}


async def _fails(hook: Hooked) -> bool:
    return await hook.policy() == "Fail"


async def test_objects_of_every_kind_that_is_read_are_judged(hook: Hooked) -> None:
    bodies = [each for each in all_objects() if definition_of(each).decoded is not None]
    before = await hook.reviews()
    for body in bodies:
        answer = await create(hook.api, body, dry_run=True)
        assert answer.status == 201, answer
    after = await hook.reviews()
    assert after["allowed"] - before["allowed"] == len(bodies)
    assert after["failed"] == before["failed"] == 0
