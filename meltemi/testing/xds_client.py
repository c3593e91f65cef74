"""An xDS client without a network: requests and responses as a proxy has them.

``Conversation`` talks to a session in memory; the rest is of use over any gRPC channel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from meltemi.xds._pb import discovery_pb2 as pb
from meltemi.xds.dialect import Delta, Sotw
from meltemi.xds.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meltemi.xds.dialect import Dialect
    from meltemi.xds.resource import Key, Resource, TypeRules, TypeUrl
    from meltemi.xds.session import Event
    from meltemi.xds.snapshot import Snapshot


def sotw_request(
    type_url: TypeUrl,
    names: Iterable[str] = (),
    *,
    version: str = "",
    nonce: str = "",
    error: str | None = None,
    node: str = "",
) -> bytes:
    """A DiscoveryRequest; with an ``error`` it is a NACK."""
    request = pb.DiscoveryRequest(
        type_url=type_url, resource_names=names, version_info=version, response_nonce=nonce
    )
    if node:
        request.node.id = node
    if error is not None:
        request.error_detail.code = 13
        request.error_detail.message = error.encode()
    return request.SerializeToString()


def delta_request(
    type_url: TypeUrl,
    subscribe: Iterable[str] = (),
    unsubscribe: Iterable[str] = (),
    *,
    initial: Mapping[str, str] | None = None,
    nonce: str = "",
    error: str | None = None,
    node: str = "",
) -> bytes:
    """A DeltaDiscoveryRequest; with an ``error`` it is a NACK."""
    request = pb.DeltaDiscoveryRequest(
        type_url=type_url,
        resource_names_subscribe=subscribe,
        resource_names_unsubscribe=unsubscribe,
        initial_resource_versions=initial or {},
        response_nonce=nonce,
    )
    if node:
        request.node.id = node
    if error is not None:
        request.error_detail.code = 13
        request.error_detail.message = error.encode()
    return request.SerializeToString()


@dataclass(frozen=True, slots=True)
class Response:
    """A response of either dialect. ``resources`` are bodies by name; a SotW response carries no
    names, so its reader finds them. ``versions`` are empty there.
    """

    type_url: TypeUrl
    version: str
    nonce: str
    bodies: tuple[bytes, ...]
    names: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    identifier: str = ""
    resource_types: frozenset[TypeUrl] = field(default_factory=frozenset[str])


def read_sotw(raw: bytes) -> Response:
    """A DiscoveryResponse."""
    message = pb.DiscoveryResponse.FromString(raw)
    return Response(
        message.type_url,
        message.version_info,
        message.nonce,
        tuple(any_.value for any_ in message.resources),
        identifier=message.control_plane.identifier,
        resource_types=frozenset(any_.type_url for any_ in message.resources),
    )


def read_delta(raw: bytes) -> Response:
    """A DeltaDiscoveryResponse."""
    message = pb.DeltaDiscoveryResponse.FromString(raw)
    return Response(
        message.type_url,
        message.system_version_info,
        message.nonce,
        tuple(resource.resource.value for resource in message.resources),
        tuple(resource.name for resource in message.resources),
        tuple(resource.version for resource in message.resources),
        tuple(message.removed_resources),
        message.control_plane.identifier,
        frozenset(resource.resource.type_url for resource in message.resources),
    )


class Conversation:
    """Both ends of one stream in memory, with a clock that moves only when told to.

    ``now`` is in seconds. Requests carry what a proxy repeats by itself.
    """

    def __init__(
        self,
        dialect: Dialect[Any],
        rules: Sequence[TypeRules],
        snapshot: Snapshot,
        *,
        drain: float = 600.0,
        only: TypeUrl = "",
    ) -> None:
        self.now = 0.0
        self.snapshot = snapshot
        self.session = Session(
            dialect,
            rules,
            snapshot,
            node_id="proxy",
            identifier="meltemi",
            drain=drain,
            only=only,
        )

    def publish(self, *resources: Resource, removed: Iterable[Key] = ()) -> None:
        """Change the snapshot."""
        changes: dict[Key, Resource | None] = {resource.key: resource for resource in resources}
        changes |= dict.fromkeys(removed)
        self.snapshot = self.snapshot.replace(changes)
        self.session.update(self.snapshot, changes.keys())

    def send(self, raw: bytes) -> tuple[Event, ...]:
        """Say something; what the session makes of it."""
        return self.session.receive(raw, self.now)

    def hear(self) -> list[Response]:
        """Everything that is due now."""
        heard: list[Response] = []
        while (raw := self.session.next_response(self.now)) is not None:
            heard.append(self.read(raw))
        return heard

    def read(self, raw: bytes) -> Response:
        """A response of the stream's dialect."""
        raise NotImplementedError


class SotwConversation(Conversation):
    """A state-of-the-world stream."""

    def __init__(
        self,
        rules: Sequence[TypeRules],
        snapshot: Snapshot,
        *,
        drain: float = 600.0,
        only: TypeUrl = "",
    ) -> None:
        super().__init__(Sotw(), rules, snapshot, drain=drain, only=only)
        self._names: dict[TypeUrl, tuple[str, ...]] = {}
        self._nonces: dict[TypeUrl, str] = {}
        self._versions: dict[TypeUrl, str] = {}

    def read(self, raw: bytes) -> Response:
        response = read_sotw(raw)
        self._nonces[response.type_url] = response.nonce
        return response

    def ask(
        self, type_url: TypeUrl, *names: str, version: str = "", nonce: str | None = None
    ) -> tuple[Event, ...]:
        """Ask for these names from now on; ``version`` as a reconnecting proxy says it."""
        self._names[type_url] = names
        held = self._versions.get(type_url, version)
        last = self._nonces.get(type_url, "") if nonce is None else nonce
        return self.send(sotw_request(type_url, names, version=held, nonce=last))

    def ack(self, response: Response) -> tuple[Event, ...]:
        """Accept a response."""
        self._versions[response.type_url] = response.version
        return self._answer(response, None)

    def nack(self, response: Response, message: str) -> tuple[Event, ...]:
        """Refuse a response."""
        return self._answer(response, message)

    def _answer(self, response: Response, error: str | None) -> tuple[Event, ...]:
        type_url = response.type_url
        return self.send(
            sotw_request(
                type_url,
                self._names[type_url],
                version=self._versions.get(type_url, ""),
                nonce=response.nonce,
                error=error,
            )
        )


class DeltaConversation(Conversation):
    """An incremental stream."""

    def __init__(
        self,
        rules: Sequence[TypeRules],
        snapshot: Snapshot,
        *,
        drain: float = 600.0,
        only: TypeUrl = "",
    ) -> None:
        super().__init__(Delta(), rules, snapshot, drain=drain, only=only)

    def read(self, raw: bytes) -> Response:
        return read_delta(raw)

    def ask(
        self,
        type_url: TypeUrl,
        *subscribe: str,
        drop: Iterable[str] = (),
        initial: Mapping[str, str] | None = None,
        nonce: str = "",
    ) -> tuple[Event, ...]:
        """Ask for more names and drop some; ``initial`` as a reconnecting proxy says it."""
        return self.send(delta_request(type_url, subscribe, drop, initial=initial, nonce=nonce))

    def ack(self, response: Response) -> tuple[Event, ...]:
        """Accept a response."""
        return self.send(delta_request(response.type_url, nonce=response.nonce))

    def nack(self, response: Response, message: str) -> tuple[Event, ...]:
        """Refuse a response."""
        return self.send(delta_request(response.type_url, nonce=response.nonce, error=message))
