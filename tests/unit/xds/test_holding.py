"""What a stream has been told of everything that it asks for."""

from __future__ import annotations

from meltemi.testing.resources import ROUTE, RULES, cluster, endpoint, route
from meltemi.testing.xds_client import DeltaConversation
from meltemi.xds.holding import Progress
from meltemi.xds.resource import CLUSTER, ENDPOINT
from meltemi.xds.snapshot import Snapshot

DUE, SENT, ANSWERED = Progress.DUE, Progress.SENT, Progress.ANSWERED


def opened() -> DeltaConversation:
    world = [cluster("a"), cluster("b"), endpoint("a"), route("r", "a")]
    return DeltaConversation(RULES, Snapshot.of(world))


def progress(stream: DeltaConversation) -> list[tuple[str, str, Progress]]:
    return [(held.key.type_url, held.key.name, held.progress) for held in stream.session.holdings()]


def test_a_stream_that_asked_for_nothing_holds_nothing() -> None:
    assert progress(opened()) == []


def test_a_resource_is_due_then_sent_then_answered() -> None:
    stream = opened()
    stream.ask(CLUSTER)
    assert progress(stream) == [(CLUSTER, "a", DUE), (CLUSTER, "b", DUE)]
    [response] = stream.hear()
    assert progress(stream) == [(CLUSTER, "a", SENT), (CLUSTER, "b", SENT)]
    stream.ack(response)
    assert progress(stream) == [(CLUSTER, "a", ANSWERED), (CLUSTER, "b", ANSWERED)]


def test_only_what_changed_is_under_way_again() -> None:
    stream = opened()
    stream.ask(CLUSTER)
    stream.ack(stream.hear()[0])
    stream.publish(cluster("b", content="2"))
    assert progress(stream) == [(CLUSTER, "a", ANSWERED), (CLUSTER, "b", DUE)]
    stream.hear()
    assert progress(stream) == [(CLUSTER, "a", ANSWERED), (CLUSTER, "b", SENT)]


def test_a_name_that_does_not_exist_is_held_without_a_resource() -> None:
    stream = opened()
    stream.ask(ENDPOINT, "a", "nobody")
    found = {held.key.name: held.resource for held in stream.session.holdings()}
    assert found == {"a": endpoint("a"), "nobody": None}


def test_types_come_in_push_order_whatever_was_asked_first() -> None:
    stream = opened()
    stream.ask(ROUTE, "r")
    stream.ask(CLUSTER, "a")
    assert [type_url for type_url, _, _ in progress(stream)] == [CLUSTER, ROUTE]
