"""Meltemi as its manifests install it, but for the pods: its replicas run here, as its account."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from meltemi.controller.client_tls import ClientTls
from meltemi.controller.client_token import ClientToken
from meltemi.controller.manifests.parts import PARTS
from meltemi.controller.manifests.ports import PORTS
from meltemi.controller.manifests.wish import NAME
from meltemi.controller.manifests.workload import TLS, arguments
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import standalone_envoy
from tests.certificates import Authority, Files, files
from tests.cluster.accounts import Account
from tests.cluster.apiserver import ApiServer
from tests.cluster.audit import Audit
from tests.cluster.conftest import administrator
from tests.cluster.definitions import send
from tests.cluster.kubectl import Tool
from tests.cluster.objects import KINDS, apply, definition
from tests.cluster.tokens import Issuer, Projected

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

    from meltemi.controller.manifests.wish import Wish
    from meltemi.testing.envoy import Envoy

ISTIO = ("ServiceEntry", "WorkloadEntry", "VirtualService", "DestinationRule")
NAMESPACES = ("bank", "shop")
WEBHOOK = f"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{NAME}"


@dataclass(frozen=True, slots=True)
class Replica:
    """One that is ready."""

    meltemi: MeltemiProcess
    tokens: Address
    proxy: Files

    def envoy(self, token: Projected | None = None) -> Envoy:
        """One in the namespace `shop` that has a certificate, or shows a token instead."""
        certificate, key, authority = map(str, astuple(self.proxy))
        if token is None:
            tls = ClientTls(certificate, key, authority, "localhost")
            return standalone_envoy(self.meltemi.xds, tls=tls)
        shown = ClientToken(str(token.path), authority, "localhost")
        return standalone_envoy(self.tokens, token=shown)


@dataclass(frozen=True, slots=True)
class Installation:
    """``audit`` has what its account did; ``admin`` and ``kubectl`` may do everything."""

    wish: Wish
    server: ApiServer
    audit: Audit
    admin: ApiClient
    kubectl: Tool

    @asynccontextmanager
    async def replica(self, name: str) -> AsyncGenerator[Replica]:
        """With the arguments of the Deployment. The environment says in which namespace it is."""
        folder, authority = self.server.folder / name, Authority()
        files(folder / "tls", authority.server(), authority)
        proxy = files(folder / "proxy", authority.proxy("shop"), authority)
        ports = {port: Address(LOOPBACK, free_port()) for port in ("token-xds", "webhook")}
        if self.wish.webhook:
            await self._lead_to(ports["webhook"])
        kubeconfig = f"--kubeconfig={self.server.folder / 'account.kubeconfig'}"
        options = [kubeconfig, *self._options(folder / "tls", ports)]
        async with MeltemiProcess(None, extra_args=options, folder=folder) as meltemi:
            yield Replica(meltemi, ports["token-xds"], proxy)

    def _options(self, tls: Path, ports: Mapping[str, Address]) -> Iterator[str]:
        """What a container gets, with places of this machine; two ports have theirs already."""
        for argument in arguments(self.wish)[1:]:
            name = argument.removeprefix("--").partition("=")[0]
            if name in ports:
                yield f"--{name}={ports[name]}"
            elif name not in PORTS:
                yield argument.replace(TLS, str(tls))

    async def _lead_to(self, webhook: Address) -> None:
        """No Service takes anybody anywhere here."""
        leads = [
            {"op": "remove", "path": "/webhooks/0/clientConfig/service"},
            {
                "op": "add",
                "path": "/webhooks/0/clientConfig/url",
                "value": f"https://{webhook}/validate",
            },
        ]
        found = (await send(self.admin, "GET", WEBHOOK)).said["webhooks"][0]["clientConfig"]
        patch = leads if "service" in found else leads[1:]
        await self.kubectl.run(
            "patch", "validatingwebhookconfiguration", NAME, "--type=json", "-p", json.dumps(patch)
        )

    async def token(self, folder: Path) -> Projected:
        """Of a proxy in the namespace `shop`."""
        return Projected(folder, await Issuer(self.server).token("shop"))


@asynccontextmanager
async def installed(
    assets: Path, folder: Path, wish: Wish, flags: tuple[str, ...] = ()
) -> AsyncGenerator[Installation]:
    """On an API server of its own, which has Istio's kinds and the namespaces `bank` and `shop`."""
    audit = Audit(folder)
    async with (
        ApiServer(assets, folder, (*audit.flags, *flags)) as server,
        administrator(server) as admin,
    ):
        for name in NAMESPACES:
            metadata = {"name": name}
            await apply(admin, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        for kind in ISTIO:
            await apply(admin, definition(KINDS[kind]))
        kubectl = Tool(server.kubectl, server.kubeconfig, folder)
        text = "".join(each.to_yaml() for part in PARTS.values() for each in part(wish))
        await kubectl.run("apply", "-f", "-", stdin=text)
        await Account(server, wish.namespace, folder).connect()
        yield Installation(wish, server, audit, admin, kubectl)


def rules(namespace: str) -> list[dict[str, Any]]:
    """Of each kind that has a status one, but of MetaRouter; a Secret is behind one of them."""
    host = f"cache.{namespace}.example"

    def rule(group: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"namespace": namespace, "name": "rule"}
        return {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}

    secret = {"auth": {"secret": {"name": "redis"}}}
    listeners = {"bootstrap": 9092, "portBase": 19000}
    brokers = [{"id": 0, "host": "10.0.0.1", "port": 9093}]
    return [
        rule("redis.aeraki.io", "RedisService", {"host": [host], "settings": secret}),
        rule("redis.aeraki.io", "RedisDestination", {"host": host}),
        rule(
            "meltemi.io",
            "KafkaCluster",
            {"host": f"kafka.{namespace}.example", "listeners": listeners, "brokers": brokers},
        ),
    ]


PROTOCOL = {
    "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
    "kind": "ApplicationProtocol",
    "metadata": {"name": "trpc"},
    "spec": {"protocol": "my-rpc", "codec": "aeraki.meta_protocol.codec.trpc"},
}
"""No port can have this in its name: there is an Event about it, in the namespace `default`."""
