"""The Helm charts with the real helm and a real API server. There is no kubelet: nothing runs, so
nothing is waited for; what is held is which objects there are when.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.manifests.parts import PARTS
from meltemi.controller.manifests.wish import Wish
from meltemi.controller.webhook.keeper import SECRET
from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import HELM, helm
from tests.cluster.conftest import administrator
from tests.cluster.definitions import send
from tests.cluster.kubectl import Tool
from tests.cluster.objects import apply, router

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from kubernetes.aio.client import ApiClient

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

CHARTS = Path(__file__).parents[2] / "docker" / "helm"
CHART, DEFINING = str(CHARTS / "meltemi"), str(CHARTS / "meltemi-crds")
IMAGE = f"meltemi:{version('meltemi')}"
OF_HELM = ("app.kubernetes.io/managed-by", "helm.sh/chart")

WISHES = {
    "default": Wish(IMAGE),
    "everything": Wish(
        IMAGE,
        namespace="mesh",
        replicas=3,
        tokens=True,
        tls="xds",
        admin_tokens="admin",
        secrets=(("bank", "redis"), ("shop", "cache"), ("shop", "redis")),
    ),
    "namespaces": Wish(IMAGE, namespace="tenant", watched=("shop", "bank"), tokens=True),
    "namespaces without a webhook": Wish(IMAGE, watched=("shop",), webhook=False),
    "no webhook": Wish(IMAGE, webhook=False),
}


@pytest.fixture(scope="module")
def program() -> Path:
    return helm()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ApiServer]:
    """Of its own: it has no kinds of ours at first."""
    async with ApiServer(assets, tmp_path_factory.mktemp("chart")) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def api(server: ApiServer) -> AsyncGenerator[ApiClient]:
    async with administrator(server) as api:
        yield api


@pytest.fixture
def tool(program: Path, server: ApiServer, tmp_path: Path) -> Tool:
    return Tool(program, server.kubeconfig, tmp_path)


@pytest.fixture
def offline(program: Path, tmp_path: Path) -> Tool:
    """Helm that asks no server."""
    return Tool(program, tmp_path / "nothing", tmp_path)


def values(wish: Wish) -> list[str]:
    """The same wish in the words of the chart."""
    secrets: dict[str, list[str]] = {}
    for namespace, name in wish.secrets:
        secrets.setdefault(namespace, []).append(name)
    found = {
        "replicas": wish.replicas,
        "watchNamespaces": wish.watched,
        "webhook": wish.webhook,
        "tokens": wish.tokens,
        "tlsSecret": wish.tls,
        "adminTokensSecret": wish.admin_tokens,
        "secrets": secrets,
    }
    return [f"--set-json={name}={json.dumps(value)}" for name, value in found.items()]


def comparable(found: list[dict[str, Any]]) -> dict[tuple[str, str, str], object]:
    """Objects by kind, namespace and name, without what only one of the two ways has."""
    objects: dict[tuple[str, str, str], object] = {}
    for each in found:
        if each["kind"] in {"Namespace", "CustomResourceDefinition"}:
            continue
        metadata = each["metadata"]
        for label in OF_HELM:
            metadata["labels"].pop(label, None)
        for container in containers(each):
            container.pop("imagePullPolicy", None)
            container["args"] = sorted(container["args"])
            container["env"].sort(key=itemgetter("name"))
            container["ports"].sort(key=itemgetter("name"))
        if each["kind"] == "Service":
            each["spec"]["ports"].sort(key=itemgetter("name"))
        objects[each["kind"], metadata.get("namespace", ""), metadata["name"]] = each
    return objects


def containers(body: dict[str, Any]) -> list[dict[str, Any]]:
    if body["kind"] != "Deployment":
        return []
    found: list[dict[str, Any]] = body["spec"]["template"]["spec"]["containers"]
    return found


async def test_it_is_the_helm_that_is_meant(offline: Tool) -> None:
    assert (await offline.run("version", "--short")).startswith(HELM)


@pytest.mark.parametrize("name", WISHES)
async def test_the_chart_renders_what_the_manifests_print(offline: Tool, name: str) -> None:
    wish = WISHES[name]
    text = await offline.run("template", "m", CHART, "-n", wish.namespace, *values(wish))
    rendered = comparable([*yaml.safe_load_all(text)])
    printed = comparable([each.to_dict() for part in PARTS.values() for each in part(wish)])
    assert rendered == printed


async def test_without_values_it_is_the_default_of_the_command(offline: Tool) -> None:
    for wish, options in (
        (WISHES["default"], []),
        (Wish(IMAGE, watched=("a",), webhook=False), ["--set=watchNamespaces={a}"]),
    ):
        text = await offline.run("template", "m", CHART, "-n", wish.namespace, *options)
        printed = [each.to_dict() for part in PARTS.values() for each in part(wish)]
        assert comparable([*yaml.safe_load_all(text)]) == comparable(printed)


async def test_helm_finds_nothing_wrong_with_the_charts(offline: Tool) -> None:
    for chart in (CHART, DEFINING):
        assert "[WARNING]" not in await offline.run("lint", "--strict", chart)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--set=replica=3", "'replica'"),
        ("--set=replicas=0", "replicas"),
        ("--set=watchNamespaces={A}", "watchNamespaces"),
        ("--set=env.PATH=x", "PATH"),
        ('--set-json=secrets={"shop": []}', "secrets"),
        (
            "--set=watchNamespaces={a},secrets.shop={redis}",
            "secrets.shop: nothing in this namespace",
        ),
    ],
)
async def test_values_that_mean_nothing_are_refused(offline: Tool, option: str, said: str) -> None:
    ran = await offline.tried("template", "m", CHART, option)
    assert (ran.code != 0, said in ran.err) == (True, True), ran


async def test_what_operators_add_is_where_it_belongs(offline: Tool) -> None:
    added: dict[str, Any] = {
        "image": {"repository": "registry.example/meltemi", "tag": "2"},
        "imagePullSecrets": [{"name": "pull"}],
        "env": {"MELTEMI_GRACE": 45.5, "MELTEMI_KEEPALIVE": "9", "MELTEMI_MAX_NAMES": 2000000},
        "nodeSelector": {"pool": "infra"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "high",
        "podLabels": {"team": "mesh"},
        "podAnnotations": {"note": "x"},
        "networkPolicy": False,
    }
    options = [f"--set-json={name}={json.dumps(value)}" for name, value in added.items()]
    found = [*yaml.safe_load_all(await offline.run("template", "m", CHART, *options))]
    kinds = {each["kind"]: each for each in found}
    assert "NetworkPolicy" not in kinds
    template = kinds["Deployment"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == "registry.example/meltemi:2"
    env = {each["name"]: each.get("value") for each in container["env"]}
    settings = [env[f"MELTEMI_{name}"] for name in ("GRACE", "KEEPALIVE", "MAX_NAMES")]
    assert settings == ["45.5", "9", "2000000"]
    assert template["spec"]["terminationGracePeriodSeconds"] == 56
    for field in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity"):
        assert template["spec"][field] == added[field]
    assert template["spec"]["priorityClassName"] == "high"
    assert template["metadata"]["labels"]["team"] == "mesh"
    assert template["metadata"]["annotations"] == {"note": "x"}


async def test_an_image_may_be_named_by_its_digest(offline: Tool) -> None:
    digest = f"sha256:{'a' * 64}"
    text = await offline.run("template", "m", CHART, f"--set=image.tag={digest}")
    assert f"image: meltemi@{digest}\n" in text


async def names(api: ApiClient, path: str) -> set[str]:
    found = (await send(api, "GET", path)).said["items"]
    return {each["metadata"]["name"] for each in found}


async def replicas(api: ApiClient, namespace: str) -> int:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/meltemi"
    count: int = (await send(api, "GET", path)).said["spec"]["replicas"]
    return count


DEFINED = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROUTERS = "/apis/metaprotocol.aeraki.io/v1alpha1/namespaces/default/metarouters"
CLUSTER_ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


async def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(
    tool: Tool, api: ApiClient
) -> None:
    here = ("-n", "mesh")
    await tool.run("install", "kinds", DEFINING, *here, "--create-namespace")
    await apply(api, router("default", "shop"))
    await tool.run("install", "meltemi", CHART, *here)
    assert await replicas(api, "mesh") == 2
    data = {"tls.crt": "Y2VydA=="}
    merge = {"Content-Type": "application/merge-patch+json"}
    secret = f"/api/v1/namespaces/mesh/secrets/{SECRET}"
    assert (await send(api, "PATCH", secret, {"data": data}, headers=merge)).status == 200
    await tool.run("upgrade", "meltemi", CHART, *here, "--set=replicas=5")
    assert await replicas(api, "mesh") == 5
    assert (await send(api, "GET", secret)).said["data"] == data, "the replicas' own"
    await tool.run("upgrade", "meltemi", CHART, *here, "--set=webhook=false")
    webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    assert "meltemi" not in await names(api, webhooks)
    await tool.run("rollback", "meltemi", "1", *here)
    assert await replicas(api, "mesh") == 2
    assert "meltemi" in await names(api, webhooks)
    await tool.run("uninstall", "meltemi", *here)
    for path in (
        "/apis/apps/v1/namespaces/mesh/deployments",
        "/api/v1/namespaces/mesh/services",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/mesh/roles",
        "/apis/networking.k8s.io/v1/namespaces/mesh/networkpolicies",
        "/apis/policy/v1/namespaces/mesh/poddisruptionbudgets",
    ):
        assert await names(api, path) == set()
    assert "meltemi:mesh" not in await names(api, CLUSTER_ROLES)
    assert "meltemi" not in await names(api, webhooks)


async def test_kinds_and_rules_outlive_the_release_that_defined_them(
    tool: Tool, api: ApiClient
) -> None:
    """And another release may have them afterwards."""
    here, taking = ("-n", "mesh"), ("--create-namespace", "--take-ownership")
    await tool.run("upgrade", "--install", "kinds", DEFINING, *here, *taking)
    await apply(api, router("default", "kept"))
    await tool.run("uninstall", "kinds", *here)
    assert {each.name for each in DEFINITIONS} <= await names(api, DEFINED)
    assert "kept" in await names(api, ROUTERS)
    await tool.run("install", "again", DEFINING, "-n", "other", *taking)
    assert "kept" in await names(api, ROUTERS)


async def test_in_namespaces_two_releases_stand_side_by_side(tool: Tool, api: ApiClient) -> None:
    for tenant, watched in (("one", "kube-node-lease"), ("two", "kube-public")):
        here = ("-n", tenant, "--create-namespace")
        await tool.run("install", "meltemi", CHART, *here, f"--set=watchNamespaces={{{watched}}}")
        roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{watched}/roles"
        assert f"meltemi:{tenant}" in await names(api, roles)
    found = {each for each in await names(api, CLUSTER_ROLES) if each.startswith("meltemi:")}
    assert found == {"meltemi:one", "meltemi:two"}
