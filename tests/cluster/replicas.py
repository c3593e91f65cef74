"""Replicas of Meltemi on a real API server that writes down who wrote what."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.ports import free_port
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.definitions import define, send
from tests.cluster.kubectl import Tool
from tests.cluster.objects import KINDS, apply, definition, entry, router, subsets
from tests.cluster.seen import metric

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

    from meltemi.controller.manifests.rules import Rule

PATIENCE_S = 60.0
SYSTEM = "meltemi-system"
POLICY = """{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
"rules": [{"level": "Request", "verbs": ["create", "update", "patch", "delete"]}]}"""
USERS = ("one", "two")
"""Who may do everything: each is known to the API server by a token of its own."""

READER = "reader"
"""Who may do what a test grants it."""


@dataclass(frozen=True, slots=True)
class Write:
    """A request that the API server has answered. ``resource`` is ``metarouters/status``, ``at``
    in seconds since 1970, ``status`` what it would have an object say, without times.
    """

    user: str
    verb: str
    resource: str
    name: str
    code: int
    at: float
    status: str


class Stage:
    """An API server with Meltemi's definitions, and replicas on it."""

    def __init__(self, server: ApiServer, admin: ApiClient, folder: Path) -> None:
        self.server = server
        self.admin = admin
        self.kubectl = Tool(server.kubectl, server.kubeconfig, folder)
        self._folder = folder
        self._forgotten = 0

    async def clear(self) -> None:
        """As at the beginning: no objects, and nothing written."""
        kinds = "metarouters,redisservices,serviceentries,destinationrules"
        await self.kubectl.run("delete", kinds, "--all", "-n", "default")
        self._forgotten = len(self._audited())

    def replica(self, user: str, program: Sequence[str] = ("-m", "meltemi")) -> MeltemiProcess:
        """A Meltemi that the API server knows by this name."""
        folder = self._folder / user
        folder.mkdir(exist_ok=True)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(_kubeconfig(self.server, user))
        options = ("--kube", "--kubeconfig", str(kubeconfig))
        return MeltemiProcess(None, extra_args=options, folder=folder, program=program)

    async def put(self, name: str) -> None:
        """A service with a rule for all its calls."""
        ends = {"v1": free_port(), "v2": free_port()}
        await apply(self.admin, entry("default", name, free_port(), ends))
        await apply(self.admin, subsets("default", name, "v1", "v2"))
        await apply(self.admin, router("default", name, "v1"))

    async def grant(self, *rules: Rule) -> None:
        """Let ``READER`` do this, everywhere."""
        about = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": READER}}
        ref = {"apiGroup": "rbac.authorization.k8s.io", "name": READER}
        role = {"kind": "ClusterRole", "rules": [each.to_dict() for each in rules]}
        subjects = [{**ref, "kind": "User"}]
        binding = {"kind": "ClusterRoleBinding", "roleRef": {**ref, "kind": "ClusterRole"}}
        for body in (role, {**binding, "subjects": subjects}):
            await self.kubectl.run("apply", "-f", "-", stdin=json.dumps({**about, **body}))

    async def get(self, kind: str, name: str) -> dict[str, Any]:
        found = KINDS[kind]
        path = f"{found.path(found.versions[0], 'default')}/{name}"
        return (await send(self.admin, "GET", path)).said

    async def condition(self, kind: str, name: str, type: str = "Programmed") -> dict[str, Any]:
        """A condition of an object; empty when it has none of that type."""
        status = (await self.get(kind, name)).get("status", {})
        found: dict[str, dict[str, Any]] = {each["type"]: each for each in status["conditions"]}
        return found.get(type, {})

    async def until_condition(
        self, kind: str, name: str, reason: str, type: str = "Programmed"
    ) -> dict[str, Any]:
        """Until the object's current generation is said to be so."""
        found: dict[str, Any] = {}

        async def holds() -> bool:
            body = await self.get(kind, name)
            conditions = body.get("status", {}).get("conditions", ())
            found.update({each["type"]: each for each in conditions}.get(type, {}))
            now = body["metadata"]["generation"]
            return (found.get("reason"), found.get("observedGeneration")) == (reason, now)

        await until(holds, lambda: f"{kind} {name} is {found}, not {reason}")
        return found

    async def holder(self) -> str:
        """Who leads, as the Lease says it; empty when nobody does."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/meltemi"
        answer = await send(self.admin, "GET", path)
        return str(answer.said["spec"]["holderIdentity"]) if answer.status == 200 else ""

    async def until_leads(self, replica: MeltemiProcess) -> None:
        """Until a replica leads, by its own word."""

        async def holds() -> bool:
            return await metric(replica, "meltemi_leader") == 1

        await until(holds, lambda: f"{replica.admin} does not lead")

    def writes(self, resource: str, user: str = "") -> list[Write]:
        """What a replica, or each of them, has tried to write to this resource so far."""
        found = map(_write, self._audited()[self._forgotten :])
        users = (user,) if user else (*USERS, READER)
        return [each for each in found if each.resource == resource and each.user in users]

    def _audited(self) -> list[str]:
        return (self.server.folder / "audit.log").read_text().splitlines()

    def repeated(self, resource: str) -> list[Write]:
        """What was written although it stood there already."""
        last: dict[str, str] = {}
        found: list[Write] = []
        for each in self.writes(resource):
            if each.code == 200 and last.get(each.name) == each.status:
                found.append(each)
            last[each.name] = each.status
        return found


@asynccontextmanager
async def staged(assets: Path, folder: Path) -> AsyncGenerator[Stage]:
    """An API server of its own, with everything that Meltemi reads defined."""
    (folder / "policy.json").write_text(POLICY)
    (folder / "tokens.csv").write_text(
        "".join(f'{user}-token,{user},{user},"system:masters"\n' for user in USERS)
        + f"{READER}-token,{READER},{READER}\n"
    )
    flags = (
        f"--audit-policy-file={folder / 'policy.json'}",
        f"--audit-log-path={folder / 'audit.log'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
    )
    async with ApiServer(assets, folder, flags) as server, administrator(server) as admin:
        await define(admin, [each.to_dict() for each in DEFINITIONS])
        for kind in ("ServiceEntry", "DestinationRule", "VirtualService", "WorkloadEntry"):
            await apply(admin, definition(KINDS[kind]))
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
        await apply(admin, body)
        yield Stage(server, admin, folder)


async def until(holds: Callable[[], Awaitable[bool]], why: Callable[[], str]) -> None:
    """Ask again and again; ``why`` says what is wrong when patience is over."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            # Other processes cannot set an event of ours.
            while not await holds():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(why()) from None


def redis_entry(name: str, port: int) -> dict[str, Any]:
    """A Redis server ``NAME.example``."""
    body = entry("default", name, port, {"v1": free_port()})
    body["spec"]["ports"][0]["name"] = "tcp-redis"
    body["spec"]["endpoints"][0]["ports"] = {"tcp-redis": free_port()}
    return body


def redis_service(name: str, timeout: str) -> dict[str, Any]:
    """Settings for that host."""
    return {
        "apiVersion": "redis.aeraki.io/v1alpha1",
        "kind": "RedisService",
        "metadata": {"namespace": "default", "name": name},
        "spec": {"host": [f"{name}.example"], "settings": {"opTimeout": timeout}},
    }


def _write(line: str) -> Write:
    entry = json.loads(line)
    about = entry.get("objectRef", {})
    within = (about.get("resource", ""), about.get("subresource", ""))
    return Write(
        entry["user"]["username"],
        entry["verb"],
        "/".join(filter(None, within)),
        about.get("name", ""),
        entry.get("responseStatus", {}).get("code", 0),
        datetime.fromisoformat(entry["stageTimestamp"]).timestamp(),
        _without_times(entry.get("requestObject", {}).get("status", {})),
    )


def _without_times(status: dict[str, Any]) -> str:
    conditions = [each | {"lastTransitionTime": ""} for each in status.get("conditions", ())]
    return json.dumps(status | {"conditions": conditions}, sort_keys=True)


def _kubeconfig(server: ApiServer, user: str) -> str:
    return f"""apiVersion: v1
kind: Config
current-context: test
clusters:
- name: test
  cluster: {{server: "{server.url}", certificate-authority: "{server.authority}"}}
users:
- name: {user}
  user: {{token: {user}-token}}
contexts:
- name: test
  context: {{cluster: test, user: {user}}}
"""
