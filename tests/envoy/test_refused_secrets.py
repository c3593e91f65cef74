"""Envoy accepts a secret that it refused when the same comes again: what that means for secrets
that were refused together.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from envoy_data_plane.envoy.config.core.v3 import Address as EnvoyAddress
from envoy_data_plane.envoy.config.core.v3 import DataSource, SocketAddress, TransportSocket
from envoy_data_plane.envoy.config.listener.v3 import FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CommonTlsContext,
    DownstreamTlsContext,
    SdsSecretConfig,
    Secret,
    TlsCertificate,
)

from meltemi.protocols.encode import pack
from meltemi.protocols.envoy import ads, network_filter
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import LOOPBACK, free_port
from meltemi.xds.resource import LISTENER, SECRET, Key, Resource, content_version
from meltemi.xds.snapshot import Snapshot
from tests.certificates import Authority, Certificate
from tests.envoy.rig import PATIENCE_S
from tests.envoy.serving import served

if TYPE_CHECKING:
    from tests.envoy.serving import Served

pytestmark = pytest.mark.envoy

NAMES = ("a", "b", "c")
BAD = "b"


def listener(name: str) -> Resource:
    """One that has its certificate from the secret of the same name."""
    common = CommonTlsContext(
        tls_certificate_sds_secret_configs=[SdsSecretConfig(name=name, sds_config=ads())]
    )
    tls = TransportSocket(
        name="envoy.transport_sockets.tls",
        typed_config=pack(DownstreamTlsContext(common_tls_context=common)),
    )
    proxy = network_filter(
        "envoy.filters.network.tcp_proxy", TcpProxy(stat_prefix=name, cluster="nowhere")
    )
    socket = SocketAddress(address=LOOPBACK, port_value=free_port())
    message = Listener(
        name=name,
        stat_prefix=name,
        address=EnvoyAddress(socket_address=socket),
        filter_chains=[FilterChain(transport_socket=tls, filters=[proxy])],
    )
    return resource(LISTENER, name, bytes(message), Key(SECRET, name))


def secret(name: str, certificate: Certificate, chain: bytes | None = None) -> Resource:
    """``chain``: in the place of the certificate's own."""
    message = TlsCertificate(
        certificate_chain=DataSource(inline_bytes=chain or certificate.pem),
        private_key=DataSource(inline_bytes=certificate.key),
    )
    return resource(SECRET, name, bytes(Secret(name=name, tls_certificate=message)))


def resource(type_url: str, name: str, body: bytes, *references: Key) -> Resource:
    return Resource(type_url, name, content_version(body), body, frozenset(references))


async def loaded(envoy: Served) -> set[str]:
    """The listeners that took a second certificate."""
    stat = "listener.{}.server_ssl_socket_factory.ssl_context_update_by_sds"
    counts = await envoy.envoy.stats("listener.")
    return {name for name in NAMES if counts.get(stat.format(name)) == 2}


@pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])
@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_good_secrets_are_used_and_none_that_was_refused_with_them_is_acquitted(
    version: str, *, sotw: bool
) -> None:
    authority = Authority()
    snapshot = Snapshot.of(
        each for name in NAMES for each in (listener(name), secret(name, authority.server()))
    )
    async with served(snapshot, sotw=sotw, version=version) as envoy:
        await envoy.envoy.wait_ready()

        async def settled() -> bool:
            return all(stream.session.settled for stream in envoy.group)

        await envoy.envoy.process.wait_until(settled, "accept what was there", PATIENCE_S)
        envoy.answers.acked.clear()
        changed = [
            secret(name, authority.server(), b"no certificate" if name == BAD else None)
            for name in NAMES
        ]
        changes = {each.key: each for each in changed}
        envoy.group.publish(snapshot.replace(changes), changes.keys())

        async def answered() -> bool:
            return len(envoy.answers.acked) == len(NAMES)

        await envoy.envoy.process.wait_until(answered, "answer each secret", PATIENCE_S)
        [refusal] = envoy.answers.nacked
        assert "Failed to load certificate chain" in refusal.message
        assert {each.name for each in refusal.suspects} == {*NAMES}
        # All were accepted when they came alone, the bad one too.
        assert [event.names for event in envoy.answers.acked] == [frozenset()] * len(NAMES)
        async with asyncio.timeout(PATIENCE_S):
            while len(found := await loaded(envoy)) < len(NAMES) - 1:
                pass
        assert found == {*NAMES} - {BAD}
