"""Service accounts that may do what a test grants them, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meltemi.controller.kube.api import configuration
from tests.cluster.apiserver import ISSUER
from tests.cluster.conftest import administrator
from tests.cluster.objects import send
from tests.cluster.tokens import Issuer, Projected

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kubernetes.aio import client

    from tests.cluster.apiserver import ApiServer

NAME = "meltemi"


class Account:
    """A service account that is made anew by each ``renew``, with a token as a kubelet mounts it.
    Roles are by name, and count for it all the same.
    """

    def __init__(self, server: ApiServer, namespace: str, folder: Path) -> None:
        self._server = server
        self._namespace = namespace
        self._folder = folder
        self._mounted: Projected | None = None
        self._kubeconfig = folder / "account.kubeconfig"

    async def connect(self) -> client.Configuration:
        """As that account, by the token that is there."""
        if self._mounted is None:
            await self.renew()
        return await configuration(str(self._kubeconfig))

    async def renew(self) -> None:
        """Whoever has the old token is nobody any more."""
        await self.delete()
        token = await Issuer(self._server).token(self._namespace, NAME, ISSUER)
        if self._mounted is None:
            self._mounted = Projected(self._folder / "mounted", token)
            self._kubeconfig.write_text(self._written(self._mounted.path))
        self._mounted.replace(token)

    async def delete(self) -> None:
        """There is no such account any more."""
        await self._ask("DELETE", f"{self._core}/serviceaccounts/{NAME}", None)

    async def grant(self, role: str, *rules: dict[str, Any]) -> None:
        """In its own namespace, at once."""
        of_role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}
        subject = {"kind": "ServiceAccount", "namespace": self._namespace, "name": NAME}
        meta = {"name": role}
        await self._ask("POST", f"{self._rbac}/roles", {"metadata": meta, "rules": rules})
        binding = {"metadata": meta, "roleRef": of_role, "subjects": [subject]}
        await self._ask("POST", f"{self._rbac}/rolebindings", binding)

    @property
    def _core(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}"

    @property
    def _rbac(self) -> str:
        return f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self._namespace}"

    async def _ask(self, method: str, path: str, body: Any) -> None:
        async with administrator(self._server) as admin:
            await send(admin, method, path, body, may=(404,))

    def _written(self, token: Path) -> str:
        return f"""apiVersion: v1
kind: Config
current-context: account
clusters:
- name: test
  cluster: {{server: "{self._server.url}", certificate-authority: "{self._server.authority}"}}
users:
- name: account
  user: {{tokenFile: "{token}"}}
contexts:
- name: account
  context: {{cluster: test, user: account}}
"""


def rule(group: str, resource: str, verbs: Sequence[str], *names: str) -> dict[str, Any]:
    """Of a role; ``names``: these objects only."""
    found = {"apiGroups": [group], "resources": [resource], "verbs": verbs}
    return found | ({"resourceNames": names} if names else {})
