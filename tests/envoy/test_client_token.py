"""A real Envoy with a token: who is shown it, and what still fits through the connection.

With tokens of a real cluster: ``tests/cluster/test_token_envoys.py``.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import Metadata
from envoy_data_plane.google.protobuf import Struct, Value

from meltemi.controller.client_token import ClientToken
from meltemi.protocols.types import type_table
from meltemi.testing.ports import LOOPBACK, Address
from meltemi.testing.standalone import standalone_envoy
from meltemi.xds.bearer import Verified, bearer_token
from meltemi.xds.credentials import ServerTls, TlsFiles
from meltemi.xds.group import Group
from meltemi.xds.peer import Identity
from meltemi.xds.resource import CLUSTER, Resource
from meltemi.xds.server import AdsServer, Refused
from meltemi.xds.snapshot import Snapshot
from tests import make
from tests.certificates import Authority, Certificate, files
from tests.envoy.serving import Answers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

    from meltemi.testing.envoy import Envoy
    from meltemi.xds.peer import Peer
    from meltemi.xds.wire import Node

pytestmark = pytest.mark.envoy

PATIENCE_S = 30.0
EDGE = Identity("cluster.local", "/ns/shop/sa/edge")


@dataclass(slots=True)
class Rig:
    """A server, the Envoy at its port for tokens, and what that has shown and said."""

    authority: Authority = field(default_factory=Authority)
    answers: Answers = field(default_factory=Answers)
    shown: list[str] = field(default_factory=list[str])
    refusing: bool = False

    async def authenticate(
        self, _address: str, metadata: Iterable[tuple[str, str | bytes]]
    ) -> Verified:
        self.shown.append(bearer_token(metadata))
        if self.refusing:
            raise Refused(grpc.StatusCode.UNAUTHENTICATED, "not this one")
        return Verified(EDGE, 600.0)

    @asynccontextmanager
    async def envoy(
        self,
        folder: Path,
        certificate: Certificate,
        *resources: Resource,
        version: str = "1.36.4",
        server_name: str = LOOPBACK,
    ) -> AsyncGenerator[Envoy]:
        group = Group(Snapshot.of(resources))

        async def join(_node: Node, peer: Peer) -> Group:
            assert peer.identity == EDGE
            return group

        written = files(folder / "tls", certificate, self.authority)
        (folder / "token").write_text("one")
        server = AdsServer(type_table(make.registry().route_types), join, self.answers)
        server.ready = True
        tls = ServerTls(TlsFiles(written.certificate, written.key), lambda _: None)
        token = ClientToken(str(folder / "token"), str(written.authority), server_name)
        async with (
            server.serve(f"{LOOPBACK}:0"),
            server.serve_tokens(f"{LOOPBACK}:0", tls, self.authenticate) as port,
            standalone_envoy(Address(LOOPBACK, port), token=token, version=version) as envoy,
        ):
            yield envoy


@pytest.mark.parametrize("version", ["1.36.4", "1.40.0"])
async def test_an_envoy_takes_more_than_grpc_takes_by_itself(tmp_path: Path, version: str) -> None:
    rig = Rig()
    padding = Struct(fields={"text": Value(string_value="x" * 5_000_000)})
    body = bytes(Cluster(name="large", metadata=Metadata(filter_metadata={"padding": padding})))
    large = Resource(CLUSTER, "large", "1", body)
    async with rig.envoy(tmp_path, rig.authority.server(), large, version=version) as envoy:
        await envoy.wait_ready(PATIENCE_S)
        assert "cluster.large" in str(await envoy.stats("cluster.large"))
    assert (rig.answers.nacked, set(rig.shown)) == ([], {"one"})


async def test_the_server_may_have_another_name_than_its_address(tmp_path: Path) -> None:
    rig = Rig()
    certificate = rig.authority.issue(hosts=["meltemi.example"])
    async with rig.envoy(tmp_path, certificate, server_name="meltemi.example") as envoy:
        await envoy.wait_ready(PATIENCE_S)


async def test_who_is_not_meltemi_is_shown_no_token(tmp_path: Path) -> None:
    rig = Rig()
    async with rig.envoy(tmp_path, rig.authority.issue(hosts=["else.example"])) as envoy:

        async def turned_away() -> bool:
            return envoy.process.log_tail().count("closed: 13") >= 2

        await envoy.process.wait_until(turned_away, "turn away from the server", PATIENCE_S)
        assert not await envoy.ready()
    assert rig.shown == []


async def test_an_envoy_reads_the_file_again_for_each_stream(tmp_path: Path) -> None:
    rig = Rig(refusing=True)
    async with rig.envoy(tmp_path, rig.authority.server()) as envoy:

        async def refused() -> bool:
            return "not this one" in envoy.process.log_tail()

        await envoy.process.wait_until(refused, "be told why it is refused", PATIENCE_S)
        (tmp_path / "token").write_text("two")
        rig.refusing = False
        await envoy.wait_ready(PATIENCE_S)
    assert (rig.shown[0], rig.shown[-1]) == ("one", "two")
