"""Which epoch a proxy has accepted, of each type, and that those who rest cost nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meltemi.controller.statuses.epochs import NONE, Epochs, hangs_on
from meltemi.testing.resources import ROUTE, RULES, cluster, endpoint, listener, route
from meltemi.testing.xds_client import DeltaConversation, SotwConversation
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Key
from meltemi.xds.session import Nacked
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import SUSPECTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meltemi.testing.xds_client import Response
    from meltemi.xds.resource import Resource
    from meltemi.xds.session import Event, Session
    from meltemi.xds.stream import Stream

Speech: TypeAlias = DeltaConversation | SotwConversation

GROUP = 7
WORLD = (cluster("a"), endpoint("a"), listener("l", "a"), route("r", "a"))


@dataclass
class Open:
    """What is looked at of a stream."""

    number: int
    session: Session[Any]


class Proxy:
    """One stream of a proxy, which is told to accept and refuse."""

    def __init__(
        self, epochs: Epochs, number: int = 1, speaks: type[Speech] = DeltaConversation
    ) -> None:
        self.epochs, self.number = epochs, number
        self.stream = speaks(RULES, Snapshot.of(WORLD))
        self.has: dict[Key, bytes] = {}
        epochs.opened(number, GROUP, "edge", self.stream.session)

    @property
    def open(self) -> Stream:
        return cast("Stream", Open(self.number, self.stream.session))

    def tell(self, events: Iterable[Event]) -> None:
        for event in events:
            self.epochs.said(self.number, event, self.stream.now)

    def ask(self, type_url: str, *names: str) -> None:
        self.tell(self.stream.ask(type_url, *names))

    def hear(self) -> list[Response]:
        """What is due; the epochs hear of each."""
        heard: list[Response] = []
        session = self.stream.session
        while (raw := session.next_response(self.stream.now)) is not None:
            assert session.pushed is not None
            self.tell([session.pushed])
            heard.append(self.stream.read(raw))
        return heard

    def accept(self, *responses: Response) -> None:
        for response in responses:
            self.has |= {
                Key(response.type_url, name): body
                for name, body in zip(response.names, response.bodies, strict=False)
            }
            self.tell(self.stream.ack(response))

    @property
    def complete(self) -> bool:
        """Whether it has accepted everything of what it asks for, as it is now."""
        snapshot = self.stream.snapshot
        wanted = [*snapshot.of_type(CLUSTER).values(), *snapshot.of_type(LISTENER).values()]
        named = (snapshot.get(key) for key in (Key(ENDPOINT, "a"), Key(ROUTE, "r")))
        wanted += [each for each in named if each is not None]
        return all(self.has.get(each.key) == each.body for each in wanted)

    def settle(self) -> None:
        """Ask for everything and accept it."""
        for type_url, names in ((CLUSTER, "*"), (ENDPOINT, "a"), (LISTENER, "*"), (ROUTE, "r")):
            self.ask(type_url, names)
        while heard := self.hear():
            self.accept(*heard)


def publish(
    epochs: Epochs, *proxies: Proxy, resources: Iterable[Resource], arrived: float | None = None
) -> None:
    """A round."""
    changed = tuple(resources)
    epochs.now += 1
    for proxy in proxies:
        proxy.stream.publish(*changed)
    opened = [proxy.open for proxy in proxies]
    epochs.published(opened, {resource.type_url for resource in changed}, arrived)


def settled(seen: list[float] | None = None) -> tuple[Epochs, Proxy]:
    """A proxy that has everything; ``seen`` is what is observed."""
    epochs = Epochs((seen if seen is not None else []).append)
    proxy = Proxy(epochs)
    proxy.settle()
    epochs.take_turned()
    return epochs, proxy


def lag(epochs: Epochs) -> dict[str, int]:
    """By type the first epoch that the only proxy has not accepted."""
    return dict(epochs.lag(1)[2].behind)


def test_a_new_proxy_has_nothing_before_it_has_its_clusters_and_listeners() -> None:
    epochs = Epochs()
    proxy = Proxy(epochs)
    assert lag(epochs) == {CLUSTER: 0, LISTENER: 0}
    proxy.ask(CLUSTER, "*")
    proxy.accept(*proxy.hear())
    assert lag(epochs) == {LISTENER: 0}
    proxy.settle()
    assert (lag(epochs), epochs.behind, dict(epochs.lags(GROUP))) == ({}, False, {})


def test_a_proxy_that_asks_for_routes_while_it_takes_their_listener_is_behind_of_them() -> None:
    epochs = Epochs()
    proxy = Proxy(epochs)
    proxy.ask(CLUSTER, "*")
    proxy.accept(*proxy.hear())
    proxy.ask(LISTENER, "*")
    (response,) = proxy.hear()
    proxy.ask(ROUTE, "r")
    proxy.accept(response)
    assert lag(epochs) == {ROUTE: 0}
    proxy.accept(*proxy.hear())
    assert lag(epochs) == {}


def test_a_round_that_does_not_concern_a_stream_leaves_it_alone() -> None:
    epochs, proxy = settled()
    publish(epochs, proxy, resources=[route("another", "a"), endpoint("b")])
    assert not epochs.behind
    assert not epochs.turned


def test_a_proxy_is_behind_from_the_round_to_its_acceptance() -> None:
    epochs, proxy = settled()
    publish(epochs, proxy, resources=[route("r", "a", content="2")])
    assert lag(epochs) == {ROUTE: 1}
    assert dict(epochs.take_turned().epochs) == {(GROUP, ROUTE): 1}
    proxy.accept(*proxy.hear())
    assert lag(epochs) == {}
    assert dict(epochs.take_turned().epochs) == {(GROUP, ROUTE): 1}


@pytest.mark.parametrize("speaks", [DeltaConversation, SotwConversation])
def test_it_is_the_same_in_both_dialects(speaks: type[Speech]) -> None:
    epochs = Epochs()
    proxy = Proxy(epochs, speaks=speaks)
    proxy.settle()
    assert lag(epochs) == {}
    publish(epochs, proxy, resources=[cluster("b"), listener("m", "b")])
    assert (lag(epochs), len(epochs.lag(1)[2].held)) == ({CLUSTER: 1}, 1)
    proxy.accept(*proxy.hear())
    assert lag(epochs) == {LISTENER: 1}
    proxy.accept(*proxy.hear())
    assert epochs.lag(1)[2] == NONE


def test_who_accepts_while_changes_go_on_has_what_was_accepted() -> None:
    epochs, proxy = settled()
    publish(epochs, proxy, resources=[route("r", "a", content="2")])
    response = proxy.hear()
    for content in ("3", "4", "5"):
        publish(epochs, proxy, resources=[route("r", "a", content=content)])
        proxy.accept(*response)
        assert lag(epochs) == {ROUTE: epochs.now}
        response = proxy.hear()
    proxy.accept(*response)
    assert lag(epochs) == {}


def test_what_waits_for_a_cluster_is_held_and_nothing_else_of_its_type_is_behind() -> None:
    epochs, proxy = settled()
    publish(epochs, proxy, resources=[cluster("b"), route("r", "b", content="2")])
    (clusters,) = proxy.hear()
    assert {key.name for key in epochs.lag(1)[2].held} == {"r"}
    assert lag(epochs) == {CLUSTER: 1}
    publish(epochs, proxy, resources=[listener("l", "a", content="2")])
    proxy.accept(*proxy.hear())
    assert lag(epochs) == {CLUSTER: 1}
    proxy.accept(clusters)
    assert lag(epochs) == {ROUTE: 1}
    proxy.accept(*proxy.hear())
    assert epochs.lag(1)[2] == NONE


def test_who_refuses_is_behind_no_more_for_the_refusal_is_told_elsewhere() -> None:
    epochs, proxy = settled()
    publish(epochs, proxy, resources=[route("r", "a", content="2")])
    (response,) = proxy.hear()
    proxy.tell(proxy.stream.nack(response, "no"))
    assert lag(epochs) == {}


def test_who_refuses_more_than_is_remembered_stays_behind_until_it_accepts() -> None:
    epochs, proxy = settled()
    publish(epochs, proxy, resources=[route("r", "a", content="2")])
    (response,) = proxy.hear()
    many = tuple(route(str(number)) for number in range(SUSPECTS + 1))
    proxy.stream.nack(response, "no")
    proxy.tell([Nacked(ROUTE, "1", response.nonce, "no", many, certain=False)])
    assert lag(epochs) == {ROUTE: 1}
    publish(epochs, proxy, resources=[route("r", "a", content="3")])
    proxy.accept(*proxy.hear())
    assert lag(epochs) == {}


def test_who_refuses_several_together_is_behind_until_each_has_its_own_answer() -> None:
    epochs, proxy = settled()
    proxy.ask(ROUTE, "r", "s")
    publish(epochs, proxy, resources=[route(name, "a", content="2") for name in "rs"])
    (response,) = proxy.hear()
    proxy.tell(proxy.stream.nack(response, "no"))
    for _ in "rs":
        assert lag(epochs) == {ROUTE: 1}
        (alone,) = proxy.hear()
        proxy.tell(proxy.stream.nack(alone, "no"))
    assert lag(epochs) == {}


def test_who_has_nothing_more_to_answer_alone_is_not_waited_for() -> None:
    epochs, proxy = settled()
    proxy.ask(ROUTE, "r", "s")
    publish(epochs, proxy, resources=[route(name, "a", content="2") for name in "rs"])
    (response,) = proxy.hear()
    proxy.tell(proxy.stream.nack(response, "no"))
    (alone,) = proxy.hear()
    proxy.stream.publish(removed=[Key(ROUTE, "s")])
    proxy.accept(alone)
    assert proxy.hear() == []
    epochs.look()
    assert lag(epochs) == {}


def test_a_response_that_came_to_nothing_is_not_waited_for() -> None:
    epochs, proxy = settled()
    publish(epochs, proxy, resources=[route("r", "a", content="2")])
    publish(epochs, proxy, resources=[route("r", "a", content="1")])
    proxy.accept(*proxy.hear())
    epochs.look()
    assert lag(epochs) == {}


def test_a_proxy_with_two_streams_counts_once_and_is_as_late_as_the_later() -> None:
    epochs = Epochs()
    first, second = Proxy(epochs, 1), Proxy(epochs, 2)
    first.settle()
    assert epochs.proxies(GROUP) == 1
    assert list(epochs.lags(GROUP).values()) == [1]
    second.settle()
    assert dict(epochs.lags(GROUP)) == {}
    publish(epochs, second, resources=[cluster("b")])
    publish(epochs, first, second, resources=[cluster("c")])
    assert lag(epochs) == {CLUSTER: 1}
    epochs.closed(2)
    assert lag(epochs) == {CLUSTER: 2}
    epochs.closed(1)
    assert (epochs.proxies(GROUP), dict(epochs.lags(GROUP))) == (0, {})


def test_whoever_comes_or_goes_turns_its_group() -> None:
    epochs, _ = settled()
    epochs.closed(1)
    assert epochs.take_turned().groups == {GROUP}
    assert not epochs.turned


def test_routes_hang_on_listeners_and_assignments_on_clusters() -> None:
    assert hangs_on(ROUTE) == {ROUTE, LISTENER}
    assert hangs_on(ENDPOINT) == {ENDPOINT, CLUSTER}
    assert hangs_on(CLUSTER) == {CLUSTER}


def test_what_was_there_at_the_beginning_is_no_change() -> None:
    seen: list[float] = []
    settled(seen)
    assert seen == []


def test_a_change_is_measured_from_its_arrival_to_its_acceptance() -> None:
    seen: list[float] = []
    epochs, proxy = settled(seen)
    publish(epochs, proxy, resources=[route("r", "a", content="2")], arrived=1.0)
    proxy.stream.now = 1.25
    proxy.accept(*proxy.hear())
    assert seen == [0.25]


def test_a_change_in_several_steps_is_measured_once_when_the_last_is_accepted() -> None:
    seen: list[float] = []
    epochs, proxy = settled(seen)
    publish(epochs, proxy, resources=[cluster("b"), route("r", "b", content="2")], arrived=1.0)
    proxy.stream.now = 1.5
    proxy.accept(*proxy.hear())  # the route waits for the cluster
    assert seen == []
    proxy.stream.now = 2.0
    proxy.accept(*proxy.hear())
    assert seen == [1.0]


def test_changes_that_overtake_each_other_are_measured_from_the_oldest() -> None:
    seen: list[float] = []
    epochs, proxy = settled(seen)
    publish(epochs, proxy, resources=[route("r", "a", content="2")], arrived=1.0)
    publish(epochs, proxy, resources=[route("r", "a", content="3")], arrived=5.0)
    proxy.stream.now = 6.0
    proxy.accept(*proxy.hear())
    assert seen == [5.0]


def test_what_is_refused_is_not_measured() -> None:
    seen: list[float] = []
    epochs, proxy = settled(seen)
    publish(epochs, proxy, resources=[route("r", "a", content="2")], arrived=1.0)
    (response,) = proxy.hear()
    proxy.tell(proxy.stream.nack(response, "no"))
    publish(epochs, proxy, resources=[route("r", "a", content="3")], arrived=3.0)
    proxy.stream.now = 3.5
    proxy.accept(*proxy.hear())
    assert seen == [0.5]


def test_a_change_that_does_not_concern_a_proxy_or_comes_when_it_has_gone_is_not_measured() -> None:
    seen: list[float] = []
    epochs, proxy = settled(seen)
    publish(epochs, proxy, resources=[route("another", "a")], arrived=1.0)
    proxy.accept(*proxy.hear())
    publish(epochs, proxy, resources=[route("r", "a", content="2")], arrived=1.0)
    epochs.closed(1)
    proxy.accept(*proxy.hear())
    assert seen == []


def test_a_response_does_not_carry_what_was_held_back_when_it_was_sent() -> None:
    epochs, proxy = settled()
    publish(epochs, proxy, resources=[route("r", "a", content="2")])
    (routes,) = proxy.hear()
    publish(epochs, proxy, resources=[route("r", "a", content="3")])
    publish(epochs, proxy, resources=[cluster("b"), route("r", "b", content="4")])
    (clusters,) = proxy.hear()
    proxy.accept(routes)
    (before,) = proxy.hear()
    proxy.accept(clusters, before)
    assert ROUTE in lag(epochs)
    proxy.accept(*proxy.hear())
    assert epochs.lag(1)[2] == NONE


STEPS = st.lists(
    st.tuples(st.sampled_from(["route", "cluster", "listener", "endpoint", "new"]), st.booleans()),
    max_size=20,
)


@given(STEPS)
@example([("route", False), ("route", False), ("new", True)])
def test_who_is_behind_in_nothing_has_everything_and_in_the_end_nobody_is_behind(
    steps: list[tuple[str, bool]],
) -> None:
    epochs, proxy = settled()
    heard: list[Response] = []
    for number, (what, answers) in enumerate(steps, 2):
        content = str(number)
        made = {
            "route": (route("r", "a", content=content),),
            "cluster": (cluster("a", content=content),),
            "listener": (listener("l", "a", content=content),),
            "endpoint": (endpoint("a", content=content),),
            "new": (cluster(content), endpoint(content), route("r", content, content=content)),
        }[what]
        publish(epochs, proxy, resources=made)
        assert epochs.lag(1)[2] != NONE
        heard += proxy.hear()
        while answers and heard:
            proxy.accept(heard.pop(0))
            heard += proxy.hear()
            assert proxy.complete or epochs.lag(1)[2] != NONE
    proxy.stream.now += 100
    while heard or (heard := proxy.hear()):
        proxy.accept(heard.pop(0))
    epochs.look()
    assert proxy.complete
    assert not epochs.behind
