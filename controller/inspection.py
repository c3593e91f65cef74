"""Who may ask what proxies hold, and how much of it is shown."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote

import grpc

from meltemi.controller.identity import DeniedError, namespace_of
from meltemi.xds.client_status import Client
from meltemi.xds.resource import SECRET
from meltemi.xds.server import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from meltemi.controller.proxies import Member
    from meltemi.controller.redaction import Redactor
    from meltemi.xds.peer import Peer
    from meltemi.xds.resource import Resource
    from meltemi.xds.status import Status


class Inspection:
    """What client status discovery shows to whom: proxies of its own namespace to a workload that
    the transport has identified, all of them on loopback, and nothing to anybody else.
    ``exposed``: the port is plaintext for whoever reaches it.
    """

    def __init__(
        self,
        status: Status,
        members: Callable[[], Mapping[int, Member]],
        redactor: Redactor,
        *,
        exposed: bool,
    ) -> None:
        self._status = status
        self._members = members
        self._redactor = redactor
        self._exposed = exposed

    def clients(self, peer: Peer) -> Iterator[Client]:
        """The streams that the peer may know of, oldest first. Raises Refused where it may know of
        none.
        """
        only, members = self._namespace(peer), self._members()
        return (
            Client(status, member.session, str(number))
            for number, status in self._status.numbered().items()
            if (member := members.get(number)) and only in (None, member.namespace)
        )

    def _namespace(self, peer: Peer) -> str | None:
        """The namespace that it may know of; None for all."""
        try:
            namespace = namespace_of(peer, exposed=self._exposed)
        except DeniedError as error:
            raise Refused(grpc.StatusCode.PERMISSION_DENIED, str(error)) from error
        if peer.identity is None and (self._exposed or not is_local(peer.address)):
            raise Refused(
                grpc.StatusCode.PERMISSION_DENIED,
                "what proxies hold is told on loopback, or over mutual TLS: serve with --tls-cert, "
                "--tls-key and --client-ca, or ask the admin port",
            )
        return namespace

    def contents(self, resource: Resource) -> bytes | None:
        """The body of a resource without a secret; of others ``/config`` of the admin port shows
        what may be shown.
        """
        if resource.type_url == SECRET or self._redactor.is_in(resource.body):
            return None
        return resource.body


def is_local(address: str) -> bool:
    """Whether a peer, as gRPC writes its address, is on this machine."""
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return True
    host = unquote(rest.rpartition(":")[0]).strip("[]")
    try:
        found = ip_address(host)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback
