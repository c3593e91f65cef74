"""Mutual TLS over loopback with real certificates: who gets in, and what a rotation does."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest

from meltemi.testing.resources import RULES, cluster
from meltemi.testing.xds_client import delta_request, read_delta
from meltemi.xds.credentials import SESSIONS, MutualTls, TlsFiles
from meltemi.xds.group import Group
from meltemi.xds.resource import CLUSTER
from meltemi.xds.server import AGGREGATED, AdsServer
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status
from tests.certificates import DAY, Authority, Certificate, files, spiffe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path
    from typing import Any

    from meltemi.xds.peer import Peer
    from meltemi.xds.wire import Node

DELTA = f"/{AGGREGATED}/DeltaAggregatedResources"
PATIENCE = 20.0


def delta_stream(channel: grpc.aio.Channel) -> Any:
    """A stream. grpc's stubs make it generic in what the serializers would be."""
    call: Any = channel.stream_stream(DELTA)  # pyright: ignore[reportUnknownVariableType]
    return call()


@dataclass(slots=True)
class Rig:
    """A server with mutual TLS, and what came of those who connected."""

    folder: Path
    authority: Authority = field(default_factory=Authority)
    joined: list[str] = field(default_factory=list[str])
    replaced: list[str] = field(default_factory=list[str])
    group: Group = field(default_factory=lambda: Group(Snapshot.of([cluster("a")])))
    port: int = 0
    now: float = 0.0

    async def resolve(self, _: Node, peer: Peer) -> Group:
        self.joined.append(str(peer.identity))
        return self.group

    @asynccontextmanager
    async def channel(
        self, client: Certificate | None, server: Authority | None = None
    ) -> AsyncGenerator[grpc.aio.Channel]:
        """A channel of a client that trusts this authority, by default the server's first."""
        trusted = (server or self.authority).pem
        credentials = grpc.ssl_channel_credentials(
            trusted, client.key if client else None, client.pem if client else None
        )
        async with grpc.aio.secure_channel(f"localhost:{self.port}", credentials) as channel:
            yield channel

    async def first_of(self, client: Certificate, server: Authority | None = None) -> str:
        """The name of the first cluster that a client hears of."""
        async with self.channel(client, server) as channel, asyncio.timeout(PATIENCE):
            call = delta_stream(channel)
            await call.write(delta_request(CLUSTER, node="proxy"))
            return read_delta(await call.read()).names[0]

    async def refusal(
        self, client: Certificate | None, server: Authority | None = None
    ) -> tuple[grpc.StatusCode, str]:
        """How a client is sent away that has not said a word yet."""
        async with self.channel(client, server) as channel, asyncio.timeout(PATIENCE):
            call = delta_stream(channel)
            return await call.code(), await call.details()


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[Rig]:
    rig = Rig(folder)
    written = files(folder, rig.authority.server(), rig.authority)
    tls = MutualTls(
        TlsFiles(written.certificate, written.key, written.authority),
        "cluster.local",
        rig.replaced.append,
        lambda: rig.now,
    )
    server = AdsServer(RULES, rig.resolve, Status())
    server.ready = True
    async with server.serve("127.0.0.1:0", tls) as rig.port:
        yield rig


async def test_a_proxy_with_a_certificate_is_served_under_its_identity(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        assert await rig.first_of(rig.authority.proxy("shop")) == "a"
        assert rig.joined == [spiffe("shop")]


@pytest.mark.parametrize("trouble", ["none", "another authority", "expired", "not yet valid"])
async def test_a_certificate_that_is_not_valid_ends_the_handshake_before_any_work(
    tmp_path: Path, trouble: str
) -> None:
    async with serving(tmp_path) as rig:
        client = {
            "none": None,
            "another authority": Authority().proxy("shop"),
            "expired": rig.authority.issue(uris=[spiffe("shop")], begins=-2 * DAY, ends=-DAY),
            "not yet valid": rig.authority.issue(uris=[spiffe("shop")], begins=DAY, ends=2 * DAY),
        }[trouble]
        code, text = await rig.refusal(client)
        assert code is grpc.StatusCode.UNAVAILABLE, text
        assert rig.joined == []
        assert await rig.first_of(rig.authority.proxy("shop")) == "a"


async def test_plaintext_is_not_spoken_on_a_port_with_tls(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as rig,
        grpc.aio.insecure_channel(f"localhost:{rig.port}") as channel,
    ):
        call = delta_stream(channel)
        async with asyncio.timeout(PATIENCE):
            assert await call.code() is grpc.StatusCode.UNAVAILABLE
        assert rig.joined == []


@pytest.mark.parametrize(
    ("uris", "why"),
    [
        ((), "has 0 URIs"),
        ((spiffe("shop"), spiffe("cart")), "has 2 URIs"),
        (("https://shop.example/edge",), "is no SPIFFE ID"),
        ((spiffe("shop", domain="other.example"),), "is not of the trust domain 'cluster.local'"),
    ],
)
async def test_a_valid_certificate_that_names_nobody_of_ours_is_refused_before_any_work(
    tmp_path: Path, uris: tuple[str, ...], why: str
) -> None:
    async with serving(tmp_path) as rig:
        code, text = await rig.refusal(rig.authority.issue(uris=uris, hosts=["shop"]))
        assert (code, rig.joined) == (grpc.StatusCode.UNAUTHENTICATED, []), text
        assert why in text


def client_context(folder: Path, proxy: Certificate) -> ssl.SSLContext:
    """A client that would speak any version of TLS."""
    path = folder / "client.pem"
    path.write_bytes(proxy.pem + proxy.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # else the client itself refuses what is old
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(path)
    return context


def shake_hands(
    context: ssl.SSLContext, port: int, session: ssl.SSLSession | None = None
) -> tuple[ssl.SSLSession | None, bool | None]:
    """The session that the server grants, and whether it was the one that the client had.

    Raises OSError where the server hangs up.
    """
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, session=session) as connection,
    ):
        if not connection.recv(9):
            raise ConnectionResetError("the server has hung up")
        return connection.session, connection.session_reused


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
async def test_tls_older_than_1_2_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as rig:
        context = client_context(tmp_path, rig.authority.proxy("shop"))
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            context.minimum_version = context.maximum_version = version
            with pytest.raises(OSError, match=r"SSL|reset|hung up"):
                await asyncio.to_thread(shake_hands, context, rig.port)
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context.maximum_version = context.minimum_version = version
            await asyncio.to_thread(shake_hands, context, rig.port)


async def test_a_session_is_resumed_for_a_minute_then_the_certificate_is_looked_at_again(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as rig:
        context = client_context(tmp_path, rig.authority.proxy("shop"))

        session, resumed = await asyncio.to_thread(shake_hands, context, rig.port)
        assert not resumed
        for now, expected in ((SESSIONS - 1, True), (SESSIONS, False), (SESSIONS, True)):
            rig.now = now
            session, resumed = await asyncio.to_thread(shake_hands, context, rig.port, session)
            assert (now, resumed) == (now, expected)
        assert rig.replaced == []


async def test_replaced_files_count_from_the_next_handshake_on_and_open_streams_stay(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as rig:
        old, new = rig.authority, Authority("the next")
        async with rig.channel(old.proxy("shop")) as channel:
            call = delta_stream(channel)
            await call.write(delta_request(CLUSTER, node="proxy"))
            first = read_delta(await call.read())

            files(tmp_path, new.server(), new)
            assert await rig.first_of(new.proxy("shop"), new) == "a"
            assert (await rig.refusal(old.proxy("shop"), new))[0] is grpc.StatusCode.UNAVAILABLE
            assert (await rig.refusal(new.proxy("shop"), old))[0] is grpc.StatusCode.UNAVAILABLE

            await call.write(delta_request(CLUSTER, nonce=first.nonce))
            changed = cluster("a", "2")
            rig.group.publish(rig.group.snapshot.replace({changed.key: changed}), [changed.key])
            assert read_delta(await call.read()).bodies == (b"a=2",)
        assert rig.replaced == [""]


async def test_replaced_files_that_do_not_fit_are_told_once_and_change_nothing(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as rig:
        good, proxy = (tmp_path / "tls.key").read_bytes(), rig.authority.proxy("shop")
        (tmp_path / "tls.key").write_bytes(rig.authority.server().key)
        assert [await rig.first_of(proxy) for _ in range(3)] == ["a"] * 3
        [told] = rig.replaced
        assert "tls.key cannot be used" in told
        (tmp_path / "tls.key").unlink()
        assert await rig.first_of(proxy) == "a"
        assert "No such file" in rig.replaced[-1]
        (tmp_path / "tls.key").write_bytes(good)
        assert await rig.first_of(proxy) == "a"
        assert len(rig.replaced) == 2
        renewed = rig.authority.server()
        files(tmp_path, renewed, rig.authority)
        assert await rig.first_of(proxy) == "a"
        assert rig.replaced[2:] == [""]
