"""A control plane with its admin port over loopback, raw xDS clients, and an operator."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from typing import TYPE_CHECKING, Any

import grpc.aio
from google.protobuf import json_format

from meltemi.controller.admin.server import serve_admin
from meltemi.controller.offline.presets import type_urls
from meltemi.testing.ports import LOOPBACK
from meltemi.testing.standalone import embedded_meltemi
from meltemi.xds._pb import discovery_pb2 as pb
from tests.flow.xds_rig import SOTW, Client

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from meltemi.controller.admin.security import AdminSecurity
    from meltemi.controller.plane import ControlPlane
    from meltemi.testing.ports import Address

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the admin port answered."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def data(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Operated:
    """``tls``: how to trust the admin port, if it has TLS."""

    plane: ControlPlane
    xds: Address
    admin: int
    tls: ssl.SSLContext | None = None

    async def ask(
        self, target: str, token: str = "", method: str = "GET", host: str = ""
    ) -> Answer:
        """One request to the admin port, perhaps under another name."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Host": host} if host else {}
        return await asyncio.to_thread(self._ask, target, method, headers)

    def _ask(self, target: str, method: str, headers: dict[str, str]) -> Answer:
        connection = (
            HTTPSConnection(LOOPBACK, self.admin, timeout=PATIENCE, context=self.tls)
            if self.tls
            else HTTPConnection(LOOPBACK, self.admin, timeout=PATIENCE)
        )
        try:
            connection.request(method, target, headers=headers)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read().decode())
        finally:
            connection.close()

    @asynccontextmanager
    async def client(self, method: str = SOTW) -> AsyncGenerator[Client]:
        """One xDS stream."""
        async with grpc.aio.insecure_channel(str(self.xds)) as channel:
            yield Client(channel, method)


@asynccontextmanager
async def operated(
    folder: Path, security: AdminSecurity | None = None, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Operated]:
    """Serve the rules in a folder, with an admin port."""
    async with (
        embedded_meltemi(folder) as meltemi,
        serve_admin(meltemi.plane, LOOPBACK, 0, security) as port,
    ):
        yield Operated(meltemi.plane, meltemi.xds, port, tls)


def introduce(
    request: bytes, node_id: str, namespace: str = "default", *, capable: bool = True
) -> bytes:
    """A state-of-the-world request as the first one of a proxy of a namespace. A proxy that is not
    ``capable`` lists no extensions.
    """
    message = pb.DiscoveryRequest()
    node = message.node
    node.id = node_id
    json_format.ParseDict({"meltemi": {"namespace": namespace}}, node.metadata)
    node.user_agent_build_version.version.major_number = 1
    node.user_agent_build_version.version.minor_number = 40
    if capable:
        node.extensions.add(type_urls=type_urls("envoy-1.40"))
    return request + message.SerializeToString()
