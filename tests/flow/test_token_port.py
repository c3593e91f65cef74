"""The port for tokens: nothing is done for a stream before it is known whose it is."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from meltemi.testing.resources import RULES, cluster
from meltemi.xds.bearer import Verified
from meltemi.xds.credentials import ServerTls, TlsFiles
from meltemi.xds.csds import SERVICE
from meltemi.xds.group import Group
from meltemi.xds.limits import Limits
from meltemi.xds.peer import Identity
from meltemi.xds.resource import CLUSTER
from meltemi.xds.server import AdsServer
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status
from tests.certificates import Authority, files
from tests.raw_streams import PATIENCE, Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path
    from typing import Any

    from meltemi.xds.peer import Peer
    from meltemi.xds.wire import Node

UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
EDGE = Identity("cluster.local", "/ns/shop/sa/edge")


@dataclass(slots=True)
class Rig:
    """A server, and an authority that answers when it is told to."""

    authority: Authority = field(default_factory=Authority)
    asked: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    joined: list[Peer] = field(default_factory=list["Peer"])
    group: Group = field(default_factory=lambda: Group(Snapshot.of([cluster("a")])))
    port: int = 0

    async def join(self, _: Node, peer: Peer) -> Group:
        self.joined.append(peer)
        return self.group

    async def authenticate(self, _: str, __: Iterable[tuple[str, str | bytes]]) -> Verified:
        self.asked += 1
        self.arrived.set()
        await self.answering.wait()
        return Verified(EDGE, 600.0)

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.asked < times:
                self.arrived.clear()
                await self.arrived.wait()

    @asynccontextmanager
    async def channel(self) -> AsyncGenerator[grpc.aio.Channel]:
        trusted = grpc.ssl_channel_credentials(self.authority.pem)
        async with grpc.aio.secure_channel(f"localhost:{self.port}", trusted) as channel:
            yield channel


@asynccontextmanager
async def serving(
    folder: Path, limits: Limits | None = None, *, ready: bool = True
) -> AsyncGenerator[Rig]:
    rig = Rig()
    written = files(folder, rig.authority.server(), rig.authority)
    tls = ServerTls(TlsFiles(written.certificate, written.key), lambda _: None)
    server = AdsServer(RULES, rig.join, Status(), limits=limits)
    server.ready = ready
    async with (
        server.serve("127.0.0.1:0"),
        server.serve_tokens("127.0.0.1:0", tls, rig.authenticate) as rig.port,
    ):
        yield rig


async def test_a_stream_is_served_as_whom_its_token_says(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig, rig.channel() as channel:
        client = Client(channel)
        await client.introduce(CLUSTER, {})
        await rig.until_asked(1)
        assert rig.joined == []
        rig.answering.set()
        assert (await client.hear()).names == ("a",)
        [peer] = rig.joined
        assert (peer.identity, peer.by_token) == (EDGE, True)


async def test_while_nobody_knows_who_it_is_a_stream_counts_for_its_address(
    tmp_path: Path,
) -> None:
    limits = Limits(streams_per_peer=2)
    async with serving(tmp_path, limits) as rig, rig.channel() as channel:
        waiting = [Client(channel) for _ in range(2)]
        await rig.until_asked(2)
        code, text = await Client(channel).end()
        assert (code, rig.asked) == (EXHAUSTED, 2)
        assert "ipv4:127.0.0.1 has 2 streams" in text
        rig.answering.set()
        for client in waiting:
            await client.introduce(CLUSTER, {})
            assert (await client.hear()).names == ("a",)
        code, text = await Client(channel).end()
        assert (code, f"{EDGE} has 2 streams" in text) == (EXHAUSTED, True)


async def test_nobody_waits_for_ever_to_be_known(tmp_path: Path) -> None:
    async with serving(tmp_path, Limits(first_request=0.2)) as rig, rig.channel() as channel:
        code, text = await Client(channel).end()
        assert (code, rig.joined) == (UNAVAILABLE, [])
        assert "it takes too long to look at the token" in text


async def test_nobody_is_asked_for_a_token_before_there_is_something_to_serve(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, ready=False) as rig, rig.channel() as channel:
        assert (await Client(channel).end())[0] is UNAVAILABLE
        assert rig.asked == 0


async def test_a_server_that_stops_ends_streams_whoever_they_are(tmp_path: Path) -> None:
    async with AsyncExitStack() as server:
        rig = await server.enter_async_context(serving(tmp_path))
        async with rig.channel() as channel:
            rig.answering.set()
            known = Client(channel)
            await known.introduce(CLUSTER, {})
            await known.hear()
            rig.answering.clear()
            unknown = Client(channel)
            await rig.until_asked(2)
            await server.aclose()
            assert [await each.end() for each in (known, unknown)] == [
                (UNAVAILABLE, "the server is stopping")
            ] * 2


async def test_nothing_but_discovery_is_offered(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig, rig.channel() as channel:
        # grpc's stubs make it generic in what the serializers would be.
        path = f"/{SERVICE}/FetchClientStatus"
        call: Any = channel.unary_unary(path)  # pyright: ignore[reportUnknownVariableType]
        code = await call(b"").code()
        assert (code, rig.asked) == (grpc.StatusCode.UNIMPLEMENTED, 0)


async def test_a_replaced_certificate_counts_from_the_next_handshake_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig, rig.channel() as before:
        rig.answering.set()
        client = Client(before)
        await client.introduce(CLUSTER, {})
        await client.hear()
        rig.authority = Authority("another one")
        files(tmp_path, rig.authority.server(), rig.authority)
        async with rig.channel() as after:
            newcomer = Client(after)
            await newcomer.introduce(CLUSTER, {})
            assert (await newcomer.hear()).names == ("a",)
        rig.group.publish(Snapshot.of([cluster("b")]), {cluster("b").key, cluster("a").key})
        assert (await client.hear()).names == ("b",)


async def test_plaintext_is_no_way_in(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as rig,
        grpc.aio.insecure_channel(f"127.0.0.1:{rig.port}") as channel,
    ):
        assert (await Client(channel).end())[0] is UNAVAILABLE
        assert rig.asked == 0
