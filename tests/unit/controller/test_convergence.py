"""From a change's arrival to the acceptance of everything that it meant for a proxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from meltemi.controller.convergence import Convergence
from meltemi.testing.resources import ROUTE, RULES, cluster, route
from meltemi.testing.xds_client import DeltaConversation
from meltemi.xds.resource import CLUSTER
from meltemi.xds.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meltemi.testing.xds_client import Response
    from meltemi.xds.resource import Resource
    from meltemi.xds.session import Event, Session
    from meltemi.xds.stream import Stream


@dataclass
class Open:
    """What is looked at of a stream."""

    number: int
    session: Session[Any]


class Rig:
    """One stream of a proxy that has everything, and what is observed."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.convergence = Convergence(self.seen.append)
        self.stream = DeltaConversation(RULES, Snapshot.of([cluster("a"), route("r", "a")]))
        self.stream.ask(CLUSTER)
        self.ack(self.stream.hear())
        self.stream.ask(ROUTE, "r")
        self.ack(self.stream.hear())

    def publish(self, *resources: Resource, arrived: float) -> None:
        self.stream.publish(*resources)
        opened = cast("Stream", Open(1, self.stream.session))
        self.convergence.published([opened], arrived)

    def ack(self, responses: Iterable[Response]) -> None:
        for response in responses:
            self.tell(self.stream.ack(response))

    def tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self.convergence.said(1, event, self.stream.now)


def test_what_was_there_at_the_beginning_is_no_change() -> None:
    assert Rig().seen == []


def test_a_change_is_measured_from_its_arrival_to_its_acceptance() -> None:
    rig = Rig()
    rig.publish(route("r", "a", content="2"), arrived=1.0)
    rig.stream.now = 1.25
    rig.ack(rig.stream.hear())
    assert rig.seen == [0.25]


def test_a_change_in_several_steps_counts_once_when_the_last_is_accepted() -> None:
    rig = Rig()
    rig.publish(cluster("b"), route("r", "b", content="2"), arrived=1.0)
    rig.stream.now = 1.5
    rig.ack(rig.stream.hear())  # the route waits for the cluster
    assert rig.seen == []
    rig.stream.now = 2.0
    rig.ack(rig.stream.hear())
    assert rig.seen == [1.0]


def test_changes_that_overtake_each_other_count_from_the_oldest() -> None:
    rig = Rig()
    rig.publish(route("r", "a", content="2"), arrived=1.0)
    rig.publish(route("r", "a", content="3"), arrived=5.0)
    rig.stream.now = 6.0
    rig.ack(rig.stream.hear())
    assert rig.seen == [5.0]


def test_a_change_that_does_not_concern_a_proxy_is_not_measured_there() -> None:
    rig = Rig()
    rig.publish(route("another", "a"), arrived=1.0)
    rig.ack(rig.stream.hear())
    assert rig.seen == []


def test_what_is_refused_does_not_converge() -> None:
    rig = Rig()
    rig.publish(route("r", "a", content="2"), arrived=1.0)
    (response,) = rig.stream.hear()
    rig.tell(rig.stream.nack(response, "no"))
    rig.publish(route("r", "a", content="3"), arrived=3.0)
    rig.stream.now = 3.5
    rig.ack(rig.stream.hear())
    assert rig.seen == [0.5]


def test_a_stream_that_ends_is_forgotten() -> None:
    rig = Rig()
    rig.publish(route("r", "a", content="2"), arrived=1.0)
    rig.convergence.closed(1)
    rig.ack(rig.stream.hear())
    assert rig.seen == []
