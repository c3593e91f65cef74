"""``meltemi check`` on a real API server: all is fine, and each thing that breaks is one line."""

from __future__ import annotations

import json
import os
import signal
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import pytest_asyncio

from meltemi.controller.health.cluster import Cluster
from meltemi.controller.kube.api import Api
from meltemi.controller.manifests.parts import PARTS
from meltemi.controller.manifests.wish import NAME, Wish
from meltemi.controller.webhook.certificates import Action, carry_out
from meltemi.controller.webhook.keeper import KEYS, SECRET
from tests.cluster.definitions import send
from tests.cluster.installed import WEBHOOK, installed
from tests.cluster.kubectl import Tool
from tests.cluster.objects import apply, router
from tests.cluster.replicas import until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.cluster.installed import Installation, Replica
    from tests.cluster.kubectl import Ran

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.envoy,
    pytest.mark.asyncio(loop_scope="module"),
]

WISH = Wish("meltemi:1", tokens=True)
POD = f"system:serviceaccount:{WISH.namespace}:{NAME}"
MERGE = {"Content-Type": "application/merge-patch+json"}
KAFKA, ROUTERS = "kafkaclusters.meltemi.io", "metarouters.metaprotocol.aeraki.io"


class Line(NamedTuple):
    check: str
    state: str
    about: str = ""


class Running(NamedTuple):
    """An installation with one replica, which leads and is asked before rules are stored."""

    cluster: Installation
    replica: Replica

    async def look(self) -> dict[Line, str]:
        """At the cluster, and at the rights of the pods there."""
        api = Api(await self.cluster.server.connect())
        try:
            seen = await Cluster(api, WISH, user=POD).look()
        finally:
            await api.close()
        found = [each.to_dict() for each in seen.results]
        return {Line(each["check"], each["state"], each["about"]): each["text"] for each in found}

    async def until(self, *lines: Line) -> str:
        """Until exactly these are not fine; what the first of them says."""
        found: dict[Line, str] = {}

        async def holds() -> bool:
            seen = await self.look()
            found.clear()
            found.update(seen)
            return {each for each in found if each.state != "fine"} == set(lines)

        await until(holds, lambda: f"{found} and not {lines}")
        return found[lines[0]] if lines else ""

    async def apply(self, part: str) -> None:
        """A part of the manifests, as at first."""
        text = "".join(each.to_yaml() for each in PARTS[part](WISH))
        await self.cluster.kubectl.run("apply", "-f", "-", stdin=text)

    async def patch(self, kind: str, name: str, *operations: dict[str, object]) -> None:
        patch = json.dumps(operations)
        await self.cluster.kubectl.run("patch", kind, name, "--type=json", "-p", patch)

    async def check(self, *arguments: str) -> Ran:
        """The command, as an administrator runs it."""
        server = self.cluster.server
        python = Tool(Path(sys.executable), server.kubeconfig, server.folder)
        options = ("--kubeconfig", str(server.kubeconfig), "--tokens", *arguments)
        return await python.tried("-m", "meltemi", "check", *options)


async def pretend_that_pods_run(cluster: Installation) -> None:
    """There is no kubelet here."""
    where = f"--namespace={WISH.namespace}"
    await cluster.kubectl.run("create", "secret", "generic", WISH.tls, where)
    status = json.dumps({"status": {"replicas": 2, "readyReplicas": 2}})
    patch = ("--subresource=status", "--type=merge", "-p", status)
    await cluster.kubectl.run("patch", "deployment", NAME, where, *patch)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MELTEMI_WEBHOOK_SANS", "127.0.0.1")
        async with (
            installed(assets, tmp_path_factory.mktemp("check"), WISH) as cluster,
            cluster.replica("one") as replica,
        ):
            await pretend_that_pods_run(cluster)
            # From the first review on, nobody writes rules that are not judged.
            await apply(cluster.admin, router("shop", "shop"))

            async def asked() -> bool:
                webhook = (await send(cluster.admin, "GET", WEBHOOK)).said["webhooks"][0]
                return bool(webhook["failurePolicy"] == "Fail")

            await until(asked, lambda: "the webhook is not asked")
            running = Running(cluster, replica)
            await running.until()
            yield running


async def test_an_installation_is_sound_from_outside_and_from_inside(running: Running) -> None:
    meltemi = running.replica.meltemi
    async with running.replica.envoy() as envoy:
        await envoy.wait_ready()
        ran = await running.check("--as", POD, "--server", f"http://{meltemi.admin}", "-o", "json")
    assert ran.code == 0, ran.err
    rows = json.loads(ran.out)
    outside = [row["check"] for row in rows if not row["server"]]
    inside = dict.fromkeys(row["check"] for row in rows if row["server"])
    seen = ["api", "clock", "installation", "crds", "istio", "rbac", "webhook", "lease", "replicas"]
    assert outside == seen
    own = ["source", "ports", "certificates", "proxies"]
    assert [*inside] == [each for each in seen if each not in {"installation", "crds"}] + own
    ports = {row["about"].split()[0] for row in rows if row["check"] == "ports"}
    assert ports == {"--xds", "--token-xds", "--webhook"}
    # Certificates of these tests last for a day.
    lacking = {(row["check"], row["state"]) for row in rows if row["state"] != "fine"}
    assert lacking == {("certificates", "warning")}
    assert running.cluster.audit.forbidden(WISH.namespace, NAME) == set()


async def test_people_read_a_line_for_each_thing(running: Running) -> None:
    ran = await running.check("--as", POD)
    *lines, empty, end = ran.out.splitlines()
    assert (ran.code, empty, end) == (0, "", "0 errors, 0 warnings")
    assert {line[0] for line in lines} == {"√"}
    assert any(line.endswith("6 definitions are as this version needs them") for line in lines)


async def test_a_definition_that_is_gone_is_an_error(running: Running) -> None:
    await running.cluster.kubectl.run("delete", "crd", KAFKA)
    await running.until(Line("crds", "error", KAFKA))
    ran = await running.check()
    assert (ran.code, "1 error, 0 warnings" in ran.out) == (1, True)
    await running.apply("crds")
    await running.until()


async def test_a_namespace_and_an_account_that_do_not_exist_are_errors(running: Running) -> None:
    ran = await running.check("--watch-namespace", "nope", "--as", f"{POD}s", "--webhook")
    assert ran.code == 1
    assert "there is no namespace nope" in ran.out
    assert f"there is no ServiceAccount {POD}s" in ran.out


async def test_a_secret_that_pods_wait_for_is_missed(running: Running) -> None:
    where = f"--namespace={WISH.namespace}"
    await running.cluster.kubectl.run("delete", "secret", WISH.tls, where)
    text = await running.until(Line("installation", "error", f"Secret {WISH.tls}"))
    assert text == f"there is no Secret {WISH.tls}"
    await running.cluster.kubectl.run("create", "secret", "generic", WISH.tls, where)
    await running.until()


async def test_an_older_definition_is_a_warning_that_says_what_it_lacks(running: Running) -> None:
    status = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/rollout"
    await running.patch("crd", ROUTERS, {"op": "remove", "path": status})
    text = await running.until(Line("crds", "warning", ROUTERS))
    assert text == f"{ROUTERS} is another version's: it lacks status.rollout"
    await running.apply("crds")
    await running.until()


async def test_a_verb_that_is_taken_away_is_an_error(running: Running) -> None:
    role = f"{NAME}:{WISH.namespace}"
    found = json.loads(await running.cluster.kubectl.run("get", "clusterrole", role, "-o", "json"))
    at = next(i for i, rule in enumerate(found["rules"]) if rule["resources"] == ["endpointslices"])
    verbs = found["rules"][at]["verbs"]
    path = f"/rules/{at}/verbs/{verbs.index('watch')}"
    await running.patch("clusterrole", role, {"op": "remove", "path": path})
    slices = "endpointslices.discovery.k8s.io"
    text = await running.until(Line("rbac", "error", slices))
    assert text.startswith(f"{POD} may not watch {slices}, which is for: ")
    # An administrator who asks for nobody's rights but her own may do everything.
    assert (await running.check()).code == 0
    await running.apply("rbac")
    await running.until()


async def test_a_bundle_of_somebody_else_is_an_error_until_a_replica_repairs_it(
    running: Running,
) -> None:
    pid = running.replica.meltemi.process.pid
    other = carry_out(Action.ROTATE, None, frozenset({"other"}), datetime.now(UTC))
    bundle = b64encode(other.roots).decode()
    os.kill(pid, signal.SIGSTOP)  # else it would be put right at once
    try:
        path = "/webhooks/0/clientConfig/caBundle"
        await running.patch(
            *("validatingwebhookconfiguration", NAME),
            {"op": "replace", "path": path, "value": bundle},
        )
        text = await running.until(Line("webhook", "error"))
        assert "its caBundle has not signed its certificate" in text
    finally:
        os.kill(pid, signal.SIGCONT)
    await running.until()


async def test_a_replica_that_dies_is_missed_as_leader_and_as_webhook(running: Running) -> None:
    meltemi, admin = running.replica.meltemi, running.cluster.admin
    await meltemi.kill()
    dead = Line("webhook", "error"), Line("lease", "error")
    text = await running.until(*dead)
    assert "nobody can write rules" in text
    ran = await running.check("--server", f"http://{meltemi.admin}")
    assert (ran.code, "cannot be asked: Connection refused" in ran.out) == (3, True)
    # What it left behind may expire before another one comes.
    long_ago = datetime.now(UTC) - timedelta(days=200)
    names = frozenset({"127.0.0.1"})
    old = carry_out(Action.ROTATE, None, names, long_ago)
    values = (old.certificate, old.key, old.roots, old.root_key)
    data = {k: b64encode(v).decode() for k, v in zip(KEYS, values, strict=True)}
    secret = f"/api/v1/namespaces/{WISH.namespace}/secrets/{SECRET}"
    assert (await send(admin, "PATCH", secret, {"data": data}, headers=MERGE)).status == 200
    path = "/webhooks/0/clientConfig/caBundle"
    await running.patch(
        *("validatingwebhookconfiguration", NAME),
        {"op": "replace", "path": path, "value": b64encode(old.roots).decode()},
    )
    assert (await running.until(*dead)).startswith("its certificate has expired at ")
    await meltemi.start()
    await running.until()


async def test_a_webhook_that_is_not_installed_is_no_mistake(running: Running) -> None:
    found = (await send(running.cluster.admin, "GET", WEBHOOK)).said
    await running.cluster.kubectl.run("delete", "validatingwebhookconfiguration", NAME)
    await running.until()
    kept = {name: found[name] for name in ("apiVersion", "kind", "webhooks")}
    kept["metadata"] = {"name": NAME}
    await running.cluster.kubectl.run("create", "-f", "-", stdin=json.dumps(kept))
    await running.until()


async def test_a_cluster_that_is_away_is_told_from_outside_and_from_inside(
    running: Running,
) -> None:
    await running.cluster.server.kill()
    try:
        ran = await running.check("--server", f"http://{running.replica.meltemi.admin}")
    finally:
        await running.cluster.server.start()
    assert ran.code == 3
    outside, inside = ran.out.split("\nhttp://")
    away = "× api           the API server cannot be reached"  # noqa: RUF001
    assert outside.startswith(away)
    assert "√" not in outside
    assert away in inside
    assert "√ ports" in inside
    await running.until()
