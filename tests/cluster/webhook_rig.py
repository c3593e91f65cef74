"""A real API server that asks a real ``meltemi serve --webhook`` on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import yaml

from meltemi.controller.crds.definitions import DEFINITIONS, VERSION
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.manifests import rules
from meltemi.controller.manifests.webhook import webhook
from meltemi.controller.manifests.wish import Wish
from meltemi.controller.webhook.keeper import KEYS, SECRET
from meltemi.controller.webhook.registration import NAME, WEBHOOK
from meltemi.controller.webhook.server import PATH
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.ports import LOOPBACK, free_port
from tests.cluster.definitions import DRY_RUN, define, send
from tests.cluster.objects import KINDS
from tests.cluster.objects import definition as permissive

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

    from meltemi.controller.webhook.certificates import Material
    from tests.cluster.apiserver import ApiServer
    from tests.cluster.definitions import Answer
    from tests.cluster.specimens import Object

OWN_NAMESPACE = "meltemi-system"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
SECRETS = f"/api/v1/namespaces/{OWN_NAMESPACE}/secrets"
ROUTERS = "/apis/metaprotocol.aeraki.io/v1alpha1/namespaces/default/metarouters"
MERGE = {"Content-Type": "application/merge-patch+json"}
PATIENCE_S = 60.0
_INSTALLED = {str(each.body["kind"]): each.to_dict() for each in webhook(Wish(image="meltemi"))}
_REVIEWS = r'^meltemi_webhook_reviews_total\{result="(\w+)"\} (\S+)$'


async def prepare(api: ApiClient) -> None:
    """Our kinds and two of Istio's, and the namespace that Meltemi's own objects are in."""
    istio = [permissive(KINDS[kind]) for kind in ("ServiceEntry", "DestinationRule")]
    await define(api, [each.to_dict() for each in DEFINITIONS])
    for body in istio:
        await create(api, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    namespace = {"kind": "Namespace", "metadata": {"name": OWN_NAMESPACE}}
    await create(api, "/api/v1/namespaces", namespace)


async def create(api: ApiClient, path: str, body: Object) -> None:
    answer = await send(api, "POST", path, body)
    assert answer.status == 201, answer


def configuration(port: int, roots: bytes = b"") -> Object:
    """As it is installed, but for where it leads: no Service takes anybody anywhere here."""
    installed = json.loads(json.dumps(_INSTALLED["ValidatingWebhookConfiguration"]))
    bundle = {"caBundle": base64.b64encode(roots).decode()} if roots else {}
    where = {"url": f"https://{LOOPBACK}:{port}{PATH}", **bundle}
    installed["webhooks"][0]["clientConfig"] = where
    return cast("Object", installed)


class Hooked:
    """A Meltemi whose webhook is registered, and the API server as its administrator sees it."""

    def __init__(self, api: ApiClient, meltemi: MeltemiProcess, port: int, folder: Path) -> None:
        self.api = api
        self.port = port
        self.meltemi = meltemi
        self._log = folder / "meltemi.log"

    async def webhook(self) -> Object:
        """As it is configured now."""
        found: Object = (await send(self.api, "GET", f"{CONFIGURATIONS}/{NAME}")).said
        webhook: Object = found["webhooks"][0]
        return webhook

    async def generation(self) -> int:
        """How often the configuration was changed."""
        found = (await send(self.api, "GET", f"{CONFIGURATIONS}/{NAME}")).said
        return int(found["metadata"]["generation"])

    async def roots(self) -> bytes:
        """What the API server trusts."""
        return base64.b64decode((await self.webhook())["clientConfig"].get("caBundle", ""))

    async def policy(self) -> str:
        return str((await self.webhook())["failurePolicy"])

    async def change(self, **fields: object) -> None:
        """Of the webhook, as somebody else would."""
        body = {"webhooks": [await self.webhook() | fields]}
        answer = await send(self.api, "PATCH", f"{CONFIGURATIONS}/{NAME}", body, headers=MERGE)
        assert answer.status == 200, answer

    async def write(self, body: Object, *, dry_run: bool = False) -> Answer:
        """Create a MetaRouter."""
        return await send(self.api, "POST", ROUTERS, body, DRY_RUN if dry_run else ())

    async def refuses(self) -> bool:
        """Whether a bad object is refused by it now."""
        answer = await self.write(router("probe", regex="(?=a)"), dry_run=True)
        assert answer.status in {201, 422, 500}, answer
        return answer.status == 422 and WEBHOOK in answer.said["message"]

    async def reviews(self) -> Counter[str]:
        """How many it has judged so far, by what came of it."""
        page = (await self.meltemi.get("/metrics")).body.decode()
        return Counter(
            {found[1]: int(float(found[2])) for found in re.finditer(_REVIEWS, page, re.MULTILINE)}
        )

    @asynccontextmanager
    async def unregistered(self) -> AsyncGenerator[None]:
        """Nobody is asked meanwhile."""
        found = configuration(self.port)
        await send(self.api, "DELETE", f"{CONFIGURATIONS}/{NAME}")
        await until(self._passes)
        yield
        await create(self.api, CONFIGURATIONS, found)
        await until(self.refuses)

    async def _passes(self) -> bool:
        return not await self.refuses()

    def logged(self, event: str, *words: str) -> bool:
        """Whether there is such an entry, with one of the words if there are any."""
        entries = [line for line in self._log.read_text().splitlines() if f" {event} " in line]
        return any(not words or any(word in line for word in words) for line in entries)


@asynccontextmanager
async def hooked(
    server: ApiServer, api: ApiClient, folder: Path, roots: bytes = b""
) -> AsyncGenerator[Hooked]:
    """A Meltemi that is asked and believed, with ``roots`` trusted from the beginning, for which
    the environment has ``MELTEMI_WEBHOOK_SANS`` of loopback.
    """
    port = free_port()
    try:
        await install(api, port, roots)
        async with replica(server.kubeconfig, folder, port) as meltemi:
            hook = Hooked(api, meltemi, port, folder)
            await until(hook.refuses)
            yield hook
    finally:
        await uninstall(api)


async def install(api: ApiClient, port: int, roots: bytes = b"") -> None:
    """Unless a Secret is there already."""
    await send(api, "POST", SECRETS, cast("Object", _INSTALLED["Secret"]))
    await create(api, CONFIGURATIONS, configuration(port, roots))


async def uninstall(api: ApiClient) -> None:
    """Also what was written meanwhile."""
    for path in (f"{CONFIGURATIONS}/{NAME}", f"{SECRETS}/{SECRET}", ROUTERS):
        await send(api, "DELETE", path)


def replica(kubeconfig: Path, folder: Path, port: int) -> MeltemiProcess:
    arguments = ("--kube", "--kubeconfig", str(kubeconfig))
    webhook = ("--webhook", f"{LOOPBACK}:{port}")
    return MeltemiProcess(None, extra_args=(*arguments, *webhook), folder=folder)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Nobody tells when another process is so far."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def secret(api: ApiClient) -> dict[str, bytes]:
    """What the Secret holds, empty while there is none."""
    data = (await send(api, "GET", f"{SECRETS}/{SECRET}")).said.get("data", {})
    return {name: base64.b64decode(data.get(name, "")) for name in KEYS}


async def put_secret(api: ApiClient, material: Material) -> None:
    """As a replica left it that was there before."""
    values = (material.certificate, material.key, material.roots, material.root_key)
    data = {name: base64.b64encode(v).decode() for name, v in zip(KEYS, values, strict=True)}
    await send(api, "POST", SECRETS, cast("Object", _INSTALLED["Secret"]))
    changed = await send(api, "PATCH", f"{SECRETS}/{SECRET}", {"data": data}, headers=MERGE)
    assert changed.status == 200, changed


def router(name: str, *, subset: str = "", regex: str = "", host: str = "shop.example") -> Object:
    match = {"attributes": {"method": {"regex": regex}}} if regex else {}
    destination = {"host": host, **({"subset": subset} if subset else {})}
    return {
        "apiVersion": f"metaprotocol.aeraki.io/{VERSION}",
        "kind": "MetaRouter",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "hosts": [host],
            "routes": [{"name": "all", "match": match, "route": [{"destination": destination}]}],
        },
    }


ACCOUNT = f"system:serviceaccount:{OWN_NAMESPACE}:meltemi"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def account(server: ApiServer, api: ApiClient, folder: Path) -> Path:
    """A kubeconfig of a service account that may do nothing yet."""
    accounts = f"/api/v1/namespaces/{OWN_NAMESPACE}/serviceaccounts"
    await create(api, accounts, {"metadata": {"name": "meltemi"}})
    asked = await send(api, "POST", f"{accounts}/meltemi/token", {"spec": {}})
    found = yaml.safe_load(server.kubeconfig.read_text())
    found["users"][0]["user"] = {"token": asked.said["status"]["token"]}
    path = folder / "account.kubeconfig"
    path.write_text(yaml.safe_dump(found))
    return path


async def grant(api: ApiClient, name: str, rules: list[Object]) -> None:
    """Let the account do that in the whole cluster."""
    await create(api, f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    binding = {
        "metadata": {"name": name},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": name,
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": ACCOUNT},
        ],
    }
    await create(api, f"{RBAC}/clusterrolebindings", binding)


READING: list[Object] = [
    {"apiGroups": [each.group], "resources": [each.plural], "verbs": ["get", "list", "watch"]}
    for each in WATCHED
]
KEEPING: list[Object] = [
    cast("Object", each.to_dict()) for each in (rules.CONFIGURATION, rules.CERTIFICATE)
]
"""All that the webhook needs beside."""
