"""What client status discovery tells of a stream, read by the official protobuf classes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from meltemi.testing.resources import RULES, cluster, endpoint
from meltemi.testing.xds_client import DeltaConversation
from meltemi.xds._pb import csds_pb2 as pb
from meltemi.xds.client_status import Client, MatchError, client_config, matching
from meltemi.xds.peer import Peer
from meltemi.xds.resource import CLUSTER, ENDPOINT
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status
from meltemi.xds.wire import Node

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meltemi.testing.xds_client import Response
    from meltemi.xds.resource import Resource
    from meltemi.xds.session import Event

# xds-protos has no type stubs.
official: Any = import_module("envoy.service.status.v3.csds_pb2")


class Rig:
    """One stream and what is known of it."""

    def __init__(self, node_id: str = "edge", *resources: Resource) -> None:
        self.status = Status()
        self.status.opened(1, Node(node_id, "gateways", {}), Peer("ipv4:127.0.0.1:1"), 0.0)
        self.stream = DeltaConversation(RULES, Snapshot.of(resources))

    @property
    def client(self) -> Client:
        (status,) = self.status.streams()
        return Client(status, self.stream.session, "1")

    def tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self.status.said(1, event, 1.0)

    def ask(self, type_url: str, *names: str) -> None:
        self.tell(self.stream.ask(type_url, *names))

    def ack(self, responses: Iterable[Response]) -> None:
        for response in responses:
            self.tell(self.stream.ack(response))

    def config(self) -> Any:
        raw = client_config(self.client, lambda resource: resource.body).SerializeToString()
        return official.ClientConfig.FromString(raw)

    def states(self) -> dict[str, str]:
        return {
            each.name: official.ConfigStatus.Name(each.config_status)
            for each in self.config().generic_xds_configs
        }


def test_a_client_is_told_with_its_node_and_the_stream_that_it_is() -> None:
    config = Rig().config()
    assert (config.node.id, config.node.cluster, config.client_scope) == ("edge", "gateways", "1")


def test_a_resource_is_not_sent_then_stale_then_synced() -> None:
    rig = Rig("edge", cluster("a"))
    rig.ask(CLUSTER)
    assert rig.states() == {"a": "NOT_SENT"}
    responses = rig.stream.hear()
    assert rig.states() == {"a": "STALE"}
    rig.ack(responses)
    assert rig.states() == {"a": "SYNCED"}


def test_a_resource_that_the_proxy_refused_is_an_error_with_its_words() -> None:
    rig = Rig("edge", cluster("a"))
    rig.ask(CLUSTER)
    (response,) = rig.stream.hear()
    rig.tell(rig.stream.nack(response, "Error adding/updating cluster(s) a: because"))
    (found,) = rig.config().generic_xds_configs
    assert found.config_status == official.ConfigStatus.ERROR
    assert found.error_state.details == "Error adding/updating cluster(s) a: because"


def test_a_resource_comes_with_its_version_and_its_body() -> None:
    rig = Rig("edge", endpoint("a"))
    rig.ask(ENDPOINT, "a")
    (found,) = rig.config().generic_xds_configs
    assert (found.type_url, found.version_info) == (ENDPOINT, endpoint("a").version)
    assert (found.xds_config.type_url, found.xds_config.value) == (ENDPOINT, b"a=1")


def test_a_name_that_does_not_exist_was_not_sent_and_has_no_version() -> None:
    rig = Rig("edge")
    rig.ask(ENDPOINT, "nobody")
    rig.ack(rig.stream.hear())
    (found,) = rig.config().generic_xds_configs
    assert (found.name, found.version_info) == ("nobody", "")
    assert found.config_status == official.ConfigStatus.NOT_SENT


def test_what_may_not_be_shown_is_left_out_and_everything_else_is_told() -> None:
    rig = Rig("edge", cluster("a"))
    rig.ask(CLUSTER)
    (found,) = client_config(rig.client, lambda _: None).generic_xds_configs
    assert not found.HasField("xds_config")
    assert found.version_info == cluster("a").version


@pytest.mark.parametrize(
    ("matcher", "selected"),
    [
        (pb.StringMatcher(exact="edge-1"), ["edge-1"]),
        (pb.StringMatcher(prefix="edge"), ["edge-1", "edge-2"]),
        (pb.StringMatcher(suffix="-1"), ["edge-1", "core-1"]),
        (pb.StringMatcher(contains="E-"), []),
        (pb.StringMatcher(contains="RE-", ignore_case=True), ["core-1"]),
        (pb.StringMatcher(exact="EDGE-1", ignore_case=True), ["edge-1"]),
    ],
)
def test_clients_are_selected_by_their_node(matcher: pb.StringMatcher, selected: list[str]) -> None:
    clients = [Rig(name).client for name in ("edge-1", "edge-2", "core-1")]
    request = pb.ClientStatusRequest(node_matchers=[pb.NodeMatcher(node_id=matcher)])
    assert [each.status.node.id for each in matching(request, clients)] == selected


def test_without_matchers_everybody_is_meant_and_of_several_any_may_match() -> None:
    clients = [Rig(name).client for name in ("a", "b", "c")]
    assert matching(pb.ClientStatusRequest(), clients) == clients
    several = [pb.NodeMatcher(node_id=pb.StringMatcher(exact=name)) for name in ("a", "c")]
    found = matching(pb.ClientStatusRequest(node_matchers=several), clients)
    assert [each.status.node.id for each in found] == ["a", "c"]


def test_a_matcher_that_is_not_offered_is_told_and_never_widened() -> None:
    request = official.ClientStatusRequest()
    request.node_matchers.add().node_id.safe_regex.regex = "edge.*"
    metadata = official.ClientStatusRequest()
    metadata.node_matchers.add().node_metadatas.add().path.add().key = "meltemi"
    for unknown in (request, metadata):
        with pytest.raises(MatchError, match="node_id"):
            matching(pb.ClientStatusRequest.FromString(unknown.SerializeToString()), [])
