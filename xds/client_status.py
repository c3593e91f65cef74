"""What one stream was sent and how it took it, as client status discovery tells it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meltemi.xds._pb import csds_pb2 as pb
from meltemi.xds.holding import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from meltemi.xds.holding import Holding
    from meltemi.xds.resource import Resource
    from meltemi.xds.session import Session
    from meltemi.xds.status import Refusal, StreamStatus

_STATUS = {
    Progress.DUE: pb.NOT_SENT,
    Progress.SENT: pb.STALE,
    Progress.ANSWERED: pb.SYNCED,
}


class MatchError(ValueError):
    """A matcher that is not offered. The text is for the client."""


@dataclass(frozen=True, slots=True)
class Client:
    """A stream; ``scope`` tells it from other streams of the same node."""

    status: StreamStatus
    session: Session[Any]
    scope: str


def client_config(client: Client, contents: Callable[[Resource], bytes | None]) -> pb.ClientConfig:
    """``envoy.service.status.v3.ClientConfig``: everything that the stream asks for.

    ``contents``: the body of a resource as it may be shown, None if it may not.
    """
    node = client.status.node
    return pb.ClientConfig(
        node=pb.Node(id=node.id, cluster=node.cluster),
        generic_xds_configs=_configs(client, contents),
        client_scope=client.scope,
    )


def _configs(
    client: Client, contents: Callable[[Resource], bytes | None]
) -> Iterator[pb.ClientConfig.GenericXdsConfig]:
    refused: dict[tuple[str, str], Refusal] = {
        (type_url, name): refusal
        for type_url, found in client.status.types.items()
        for refusal in found.refusals
        for name in refusal.names
    }
    for holding in client.session.holdings():
        yield _config(holding, refused.get(holding.key), contents)


def _config(
    holding: Holding, refusal: Refusal | None, contents: Callable[[Resource], bytes | None]
) -> pb.ClientConfig.GenericXdsConfig:
    key, resource = holding.key, holding.resource
    config = pb.ClientConfig.GenericXdsConfig(
        type_url=key.type_url, name=key.name, config_status=_STATUS[holding.progress]
    )
    if resource is None:
        config.config_status = pb.NOT_SENT
    else:
        config.version_info = resource.version
        if (body := contents(resource)) is not None:
            config.xds_config.type_url = key.type_url
            config.xds_config.value = body
    if refusal is not None:
        config.config_status = pb.ERROR
        config.error_state.details = refusal.message
    return config


def matching(request: pb.ClientStatusRequest, clients: Iterable[Client]) -> list[Client]:
    """Those that any of the matchers selects; all if there are none.

    Raises:
        MatchError: a matcher is not by ``node_id``, or by a regular expression.
    """
    matchers = [*request.node_matchers]
    for matcher in matchers:
        if matcher.node_metadatas or matcher.node_id.WhichOneof("match_pattern") is None:
            raise MatchError(
                "node_matchers are offered by node_id: exact, prefix, suffix or contains"
            )
    return [
        client
        for client in clients
        if not matchers or any(_matches(each.node_id, client.status.node.id) for each in matchers)
    ]


def _matches(matcher: pb.StringMatcher, node_id: str) -> bool:
    kind = matcher.WhichOneof("match_pattern")
    assert kind is not None
    wanted: str = getattr(matcher, kind)
    if matcher.ignore_case:
        wanted, node_id = wanted.lower(), node_id.lower()
    match kind:
        case "exact":
            return node_id == wanted
        case "prefix":
            return node_id.startswith(wanted)
        case "suffix":
            return node_id.endswith(wanted)
        case _:
            return wanted in node_id
