"""``meltemi manifests`` on a real API server: everything is taken, strictly, and again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from meltemi.controller.manifests.parts import PARTS
from meltemi.controller.manifests.wish import NAME, Wish
from meltemi.controller.manifests.workload import workload
from meltemi.controller.webhook.keeper import SECRET
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.definitions import send
from tests.cluster.kubectl import Tool
from tests.cluster.objects import apply, router

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

CONFIGURATION = f"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{NAME}"
MERGE = {"Content-Type": "application/merge-patch+json"}
WHOLE = Wish("meltemi:1", tokens=True, admin_tokens="admin", secrets=(("default", "redis"),))
TENANT = Wish("meltemi:1", namespace="tenant", watched=("default", "tenant"), webhook=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ApiServer]:
    """Of its own: some of what is installed concerns the whole cluster."""
    async with ApiServer(assets, tmp_path_factory.mktemp("manifests")) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def api(server: ApiServer) -> AsyncGenerator[ApiClient]:
    async with administrator(server) as api:
        yield api


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Tool:
    return Tool(server.kubectl, server.kubeconfig, tmp_path)


def printed(wish: Wish) -> str:
    return "".join(each.to_yaml() for part in PARTS.values() for each in part(wish))


@pytest.mark.parametrize("wish", [WHOLE, TENANT])
async def test_kubectl_applies_all_of_it_strictly_and_again_without_a_change(
    kubectl: Tool, wish: Wish
) -> None:
    text = printed(wish)
    first = await kubectl.tried("apply", "--validate=strict", "-f", "-", stdin=text)
    assert (first.code, first.err) == (0, "")
    before = await versions(kubectl, text)
    await kubectl.run("apply", "--validate=strict", "-f", "-", stdin=text)
    assert await versions(kubectl, text) == before


async def versions(kubectl: Tool, text: str) -> list[str]:
    """The resourceVersions of all objects in a text: one that changed has another."""
    found = json.loads(await kubectl.run("get", "-f", "-", "-o", "json", stdin=text))["items"]
    assert len(found) > 10
    return [each["metadata"]["resourceVersion"] for each in found]


async def test_to_apply_it_again_leaves_what_the_replicas_wrote(
    kubectl: Tool, api: ApiClient
) -> None:
    await kubectl.run("apply", "-f", "-", stdin=printed(WHOLE))
    secret = f"/api/v1/namespaces/{WHOLE.namespace}/secrets/{SECRET}"
    data = {"tls.crt": "Y2VydA==", "tls.key": "a2V5"}
    assert (await send(api, "PATCH", secret, {"data": data}, headers=MERGE)).status == 200
    configuration = (await send(api, "GET", CONFIGURATION)).said
    authority = "bm8gYXV0aG9yaXR5"
    configuration["webhooks"][0]["clientConfig"]["caBundle"] = authority
    changed = {"webhooks": configuration["webhooks"]}
    refused = await send(api, "PATCH", CONFIGURATION, changed, headers=MERGE)
    assert refused.status == 200, refused
    await kubectl.run("apply", "-f", "-", stdin=printed(WHOLE))
    assert (await send(api, "GET", secret)).said["data"] == data
    (webhook,) = (await send(api, "GET", CONFIGURATION)).said["webhooks"]
    assert webhook["clientConfig"]["caBundle"] == authority


async def test_what_is_deleted_leaves_kinds_and_rules(kubectl: Tool, api: ApiClient) -> None:
    leaving = replace(WHOLE, namespace="leaving")
    await kubectl.run("apply", "-f", "-", stdin=printed(leaving))
    await apply(api, router("default", "kept"))
    for part in ("deployment", "webhook", "rbac"):
        text = "".join(each.to_yaml() for each in PARTS[part](leaving))
        # Nobody here finishes the deletion of a namespace.
        await kubectl.run("delete", "--wait=false", "-f", "-", stdin=text)
    assert (await send(api, "GET", CONFIGURATION)).status == 404
    for kind in ("deployments", "roles", "rolebindings", "secrets"):
        ran = await kubectl.run("get", kind, "-n", leaving.namespace, "-o", "name")
        assert ran == ""
    assert "kept" in await kubectl.run("get", "metarouters", "-o", "name")


def pod(**changed: object) -> dict[str, Any]:
    """A pod of the Deployment, with another ``securityContext`` if one is given."""
    deployment: Any = next(workload(WHOLE)).to_dict()
    template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "name": "replica"}
    spec = {**template["spec"], **changed}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


async def test_its_pods_are_admitted_where_pod_security_is_restricted(
    kubectl: Tool, api: ApiClient
) -> None:
    """By the server's own admission plugin, in the namespace as it is made."""
    await kubectl.run("apply", "-f", "-", stdin=printed(WHOLE))
    pods, dry_run = f"/api/v1/namespaces/{WHOLE.namespace}/pods", (("dryRun", "All"),)
    admitted = await send(api, "POST", pods, pod(), dry_run)
    assert admitted.status == 201, admitted
    without = pod(securityContext={"runAsNonRoot": True, "runAsUser": 65532})
    refused = await send(api, "POST", pods, without, dry_run)
    assert refused.status == 403
    assert 'violates PodSecurity "restricted:latest": seccompProfile' in refused.said["message"]
