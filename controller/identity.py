"""Who a proxy may be: the namespace that its identity gives it, and the name that is taken."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from meltemi.controller.nodes import DEFAULT_NAMESPACE
from meltemi.xds.bearer import bearer_token
from meltemi.xds.peer import UnidentifiedError
from meltemi.xds.server import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from meltemi.xds.bearer import Verified
    from meltemi.xds.credentials import TlsFiles
    from meltemi.xds.peer import Identity, Peer

    Verify = Callable[[str], Awaitable[Verified]]
    """Whose a token is. Raises UnidentifiedError and UnverifiableError."""

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_WORKLOAD = re.compile(rf"/ns/({_LABEL})/sa/([^/]+)")


class DeniedError(Exception):
    """A proxy is not who it says it is. The text is for the proxy."""


class UnverifiableError(Exception):
    """Nobody can tell now whose a token is. The text is for the proxy."""


@dataclass(frozen=True, slots=True)
class TokenPort:
    """Where proxies prove by a token who they are: ``address`` is ``host:port``. ``tls`` names the
    server's certificate and key only. Tokens must be for ``audience``.
    """

    address: str
    tls: TlsFiles
    audience: str = "meltemi"


@dataclass(frozen=True, slots=True)
class Security:
    """How the port for proxies is secured.

    ``tls``: files of mutual TLS, whose certificates name the ``trust_domain``; without them the
    port is plaintext. ``exposed``: plaintext for whoever can reach the port, on any address. Then
    no claim counts and no password is sent. ``tokens``: a further port.
    """

    tls: TlsFiles | None = None
    trust_domain: str = "cluster.local"
    exposed: bool = False
    tokens: TokenPort | None = None


async def authenticated(verify: Verify, metadata: Iterable[tuple[str, str | bytes]]) -> Verified:
    """Whose the token of a stream is. Raises Refused."""
    try:
        return await verify(bearer_token(metadata))
    except UnidentifiedError as error:
        raise Refused(grpc.StatusCode.UNAUTHENTICATED, str(error)) from error
    except UnverifiableError as error:
        raise Refused(grpc.StatusCode.UNAVAILABLE, str(error)) from error


def namespace_of(peer: Peer, *, exposed: bool) -> str | None:
    """The namespace that a peer speaks for; None where it may say so itself: on a plaintext port
    that only this machine reaches.

    Raises:
        DeniedError: the identity has none.
    """
    if peer.identity is not None:
        return _workload_namespace(peer.identity)
    return DEFAULT_NAMESPACE if exposed else None


def _workload_namespace(identity: Identity) -> str:
    found = _WORKLOAD.fullmatch(identity.path)
    if found is None:
        raise DeniedError(
            f"the identity {identity} names no workload of a namespace: present one such as "
            f"spiffe://{identity.trust_domain}/ns/NAMESPACE/sa/ACCOUNT"
        )
    return found[1]


class NodeIds:
    """Which identity has each ``node.id`` that is connected. A proxy may have several streams;
    they are numbered by their owner.
    """

    def __init__(self) -> None:
        self._streams: dict[int, str] = {}
        self._holders: dict[str, tuple[Identity | None, int]] = {}

    def check(self, node_id: str, identity: Identity | None) -> None:
        """Raises DeniedError when somebody else has the name now."""
        holder, _ = self._holders.get(node_id, (identity, 0))
        if holder != identity:
            raise DeniedError(
                f"another workload is connected as node {node_id!r}: "
                "give each proxy a node.id of its own"
            )

    def opened(self, stream: int, node_id: str, identity: Identity | None) -> None:
        """A stream of this name, which was free to take, has begun."""
        _, streams = self._holders.get(node_id, (identity, 0))
        self._holders[node_id] = identity, streams + 1
        self._streams[stream] = node_id

    def closed(self, stream: int) -> None:
        """It has ended."""
        node_id = self._streams.pop(stream)
        identity, streams = self._holders.pop(node_id)
        if streams > 1:
            self._holders[node_id] = identity, streams - 1
