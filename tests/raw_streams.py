"""Streams of stock Envoys without an Envoy, and rules that not everybody may see."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf import json_format

from meltemi.controller.offline.presets import type_urls
from meltemi.testing.xds_client import (
    Response,
    delta_request,
    read_delta,
    read_sotw,
    sotw_request,
)
from meltemi.xds._pb import discovery_pb2 as pb
from meltemi.xds.server import AGGREGATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.xds.resource import TypeUrl

PATIENCE = 20.0
DELTA = f"/{AGGREGATED}/DeltaAggregatedResources"
SOTW = f"/{AGGREGATED}/StreamAggregatedResources"
DENIED = grpc.StatusCode.PERMISSION_DENIED

RULES = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ledger, namespace: bank}
spec:
  hosts: [ledger.example]
  exportTo: [.]
  resolution: STATIC
  ports: [{number: 6379, name: tcp-redis}]
  endpoints: [{address: 10.9.8.7}]
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: ledger, namespace: bank}
spec:
  host: [ledger.example]
  settings: {auth: {secret: {name: ledger}}}
---
apiVersion: v1
kind: Secret
metadata: {name: ledger, namespace: bank}
stringData: {password: open-sesame}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: vault, namespace: bank}
spec:
  hosts: [vault.example]
  exportTo: [.]
  resolution: STATIC
  ports: [{number: 7000, name: tcp-thrift}]
  endpoints: [{address: 10.9.8.6}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: market, namespace: shop}
spec:
  hosts: [market.example]
  resolution: STATIC
  ports: [{number: 7001, name: tcp-thrift}]
  endpoints: [{address: 10.1.2.3}]
"""
"""Two services that only their own namespace sees, one with a password, and one that all see."""

LEDGER = "outbound|6379||ledger.example"
VAULT = "outbound|7000||vault.example"
MARKET = "outbound|7001||market.example"


def node(metadata: Mapping[str, object], node_id: str = "edge") -> pb.Node:
    """A stock Envoy with this in ``node.metadata.meltemi``."""
    made = pb.Node(id=node_id)
    json_format.ParseDict({"meltemi": dict(metadata)}, made.metadata)
    made.extensions.add(type_urls=sorted(type_urls("envoy-1.40")))
    made.user_agent_build_version.version.major_number = 1
    made.user_agent_build_version.version.minor_number = 40
    return made


class Client:
    """One stream. ``metadata`` goes with it, such as a token."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        method: str = DELTA,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        call: Any = channel.stream_stream(method)  # pyright: ignore[reportUnknownVariableType]
        self._call = call(metadata=metadata)
        self._delta = method == DELTA

    async def introduce(
        self, type_url: TypeUrl, metadata: Mapping[str, object], node_id: str = "edge"
    ) -> None:
        """The first request: it asks for everything of a type."""
        kind = pb.DeltaDiscoveryRequest if self._delta else pb.DiscoveryRequest
        await self._call.write(
            kind(type_url=type_url, node=node(metadata, node_id)).SerializeToString()
        )

    async def ask(self, type_url: TypeUrl, *names: str) -> None:
        """One more request, for these names."""
        make = delta_request if self._delta else sotw_request
        await self._call.write(make(type_url, names))

    async def hear(self) -> Response:
        async with asyncio.timeout(PATIENCE):
            raw = await self._call.read()
        assert raw is not grpc.aio.EOF, f"the stream has ended: {await self._call.details()}"
        return read_delta(raw) if self._delta else read_sotw(raw)

    async def is_served(self, refusal: grpc.StatusCode = DENIED) -> bool:
        """Whether anything comes before the end, which else is this refusal."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._call.read() is not grpc.aio.EOF
        except grpc.aio.AioRpcError as error:
            if error.code() is not refusal:
                raise
            return False

    async def end(self) -> tuple[grpc.StatusCode, str]:
        async with asyncio.timeout(PATIENCE):
            return await self._call.code(), await self._call.details()
