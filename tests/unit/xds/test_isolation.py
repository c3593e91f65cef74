"""What was refused together and by no name is sent once more, each resource alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meltemi.testing.resources import ROUTE, RULES, cluster, endpoint, listener, route
from meltemi.testing.xds_client import DeltaConversation, SotwConversation
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Key, TypeRules
from meltemi.xds.session import ANSWER_TIMEOUT, Acked, Dropped, Nacked
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import TypeStatus

if TYPE_CHECKING:
    from meltemi.testing.xds_client import Response
    from meltemi.xds.session import Event

NAMES = ("a", "b", "c")
Stream = SotwConversation | DeltaConversation


@pytest.fixture(params=[SotwConversation, DeltaConversation], ids=["sotw", "delta"])
def stream(request: pytest.FixtureRequest) -> Stream:
    """A proxy that has its routes, and has them accepted."""
    opened: Stream = request.param(RULES, Snapshot.of(route(name) for name in NAMES))
    opened.ask(ROUTE, *NAMES)
    opened.ack(only(opened))
    return opened


def only(stream: Stream) -> Response:
    [response] = stream.hear()
    return response


def refused(stream: Stream, content: str = "2") -> None:
    """All routes change, and the proxy refuses them."""
    stream.publish(*(route(name, content=content) for name in NAMES))
    response = only(stream)
    assert len(response.bodies) == len(NAMES)
    stream.nack(response, "missing ]")


def heard(stream: Stream) -> list[bytes]:
    return [body for response in stream.hear() for body in response.bodies]


def test_each_is_sent_alone_and_waits_for_the_answer_to_the_last(stream: Stream) -> None:
    refused(stream)
    for name in NAMES:
        response = only(stream)
        assert response.bodies == (f"{name}=2".encode(),)
        assert stream.hear() == []
        [event] = stream.ack(response)
        assert isinstance(event, Acked)
        assert event.names == {name}
    stream.now += 100
    assert stream.hear() == []


def test_a_proxy_that_does_not_answer_is_waited_for_a_second_each(stream: Stream) -> None:
    refused(stream)
    for name in NAMES:
        assert heard(stream) == [f"{name}=2".encode()]
        deadline = stream.session.deadline()
        assert deadline == (None if name == NAMES[-1] else stream.now + ANSWER_TIMEOUT)
        stream.now += ANSWER_TIMEOUT
    assert heard(stream) == []


def test_one_that_is_refused_alone_is_certainly_bad_and_never_sent_again(stream: Stream) -> None:
    refused(stream)
    stream.ack(only(stream))
    [event] = stream.nack(only(stream), "missing ]")
    assert isinstance(event, Nacked)
    assert (event.suspects, event.certain) == ((route("b", content="2"),), True)
    stream.ack(only(stream))
    stream.now += 100
    assert stream.hear() == []
    stream.publish(route("b", content="3"))
    assert heard(stream) == [b"b=3"]


def test_a_proxy_that_refuses_everything_hears_everything_twice(stream: Stream) -> None:
    responses = 0
    for content in "23":
        stream.publish(*(route(name, content=content) for name in NAMES))
        for _ in range(100):
            for response in stream.hear():
                responses += 1
                stream.nack(response, "no")
            stream.now += 1
    assert responses == 2 * (1 + len(NAMES))


def test_what_goes_again_with_its_parent_does_not_go_alone_again(stream: Stream) -> None:
    stream.publish(*(each for name in "ab" for each in (cluster(name), endpoint(name))))
    stream.ask(CLUSTER)
    stream.ask(ENDPOINT, "a", "b")
    clusters, endpoints = stream.hear()
    stream.ack(clusters)
    stream.nack(endpoints, "malformed IP address")
    stream.nack(only(stream), "malformed IP address")
    stream.ack(only(stream))
    stream.publish(cluster("a", "2"), cluster("b", "2"))
    _, endpoints = stream.hear()
    assert endpoints.bodies == (b"a=1", b"b=1")
    stream.nack(endpoints, "malformed IP address")
    assert heard(stream) == [b"b=1"]


def test_changes_come_first_and_what_changed_is_not_sent_as_it_was(stream: Stream) -> None:
    refused(stream)
    first = only(stream)
    stream.publish(route("b", content="3"))
    stream.ack(first)
    changed = only(stream)
    assert changed.bodies == (b"b=3",)
    stream.ack(changed)
    assert heard(stream) == [b"c=2"]


def test_what_is_gone_is_not_sent(stream: Stream) -> None:
    refused(stream)
    first = only(stream)
    stream.publish(removed=[Key(ROUTE, "b")])
    stream.ack(first)
    assert heard(stream) == [b"c=2"]


def test_what_the_proxy_asks_for_no_more_is_not_sent(stream: Stream) -> None:
    refused(stream)
    first = only(stream)
    if isinstance(stream, SotwConversation):
        events = stream.ask(ROUTE, "a", "c", nonce="")
    else:
        events = stream.ask(ROUTE, drop=["b"])
    assert events == (Dropped(ROUTE, frozenset("b")),)
    stream.ack(first)
    assert heard(stream) == [b"c=2"]


def test_what_is_sent_meanwhile_for_another_reason_and_accepted_is_not_sent_alone(
    stream: Stream,
) -> None:
    refused(stream)
    first = only(stream)
    if isinstance(stream, SotwConversation):
        stream.ask(ROUTE, "a", "c", nonce="")
        stream.ask(ROUTE, "a", "b", "c", nonce="")
    else:
        stream.ask(ROUTE, "b")
    stream.ack(first)
    again = only(stream)
    assert again.bodies == (b"b=2",)
    stream.ack(again)
    assert heard(stream) == [b"c=2"]


def test_a_stream_is_not_settled_while_it_isolates(stream: Stream) -> None:
    refused(stream)
    for _ in NAMES:
        assert stream.session.owes(ROUTE)
        assert not stream.session.settled
        assert stream.session.isolates(ROUTE)
        assert not stream.session.resting
        stream.ack(only(stream))
    assert not stream.session.isolates(ROUTE)
    assert stream.session.settled
    assert stream.session.resting
    assert stream.session.deadline() is None


def test_a_late_refusal_of_several_responses_is_isolated_too(stream: Stream) -> None:
    stream.publish(route("a", content="2"))
    only(stream)
    stream.now += ANSWER_TIMEOUT
    stream.publish(route("b", content="2"))
    [event] = stream.nack(only(stream), "missing ]")
    assert isinstance(event, Nacked)
    assert not event.certain
    stream.ack(only(stream))
    assert heard(stream) == [b"b=2"]


def test_a_late_refusal_of_what_was_sent_alone_isolates_nothing(stream: Stream) -> None:
    refused(stream)
    for _ in NAMES[1:]:
        only(stream)
        stream.now += ANSWER_TIMEOUT
    [event] = stream.nack(only(stream), "missing ]")
    assert isinstance(event, Nacked)
    assert not event.certain
    assert stream.hear() == []
    assert stream.session.settled


def test_who_is_named_is_at_fault_and_nothing_is_sent_again(stream: Stream) -> None:
    stream.publish(*(route(name, content="2") for name in NAMES))
    [event] = stream.nack(only(stream), "errors: [resource index 0: b: missing ]]")
    assert isinstance(event, Nacked)
    assert event.certain
    assert stream.hear() == []


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER])
def test_clusters_and_listeners_are_isolated_where_a_response_can_carry_one_alone(
    type_url: str,
) -> None:
    make = cluster if type_url == CLUSTER else listener
    snapshot = Snapshot.of(make(name) for name in "ab")
    delta, sotw = DeltaConversation(RULES, snapshot), SotwConversation(RULES, snapshot)
    for opened in (delta, sotw):
        opened.ask(type_url)
        [event] = opened.nack(only(opened), "Unable to unpack")
        assert isinstance(event, Nacked)
        assert not event.certain
    assert only(delta).bodies == (b"a=1",)
    assert sotw.hear() == []


def test_in_full_state_one_change_may_be_refused_for_what_goes_with_it() -> None:
    stream = SotwConversation(RULES, Snapshot.of(cluster(name) for name in "ab"))
    stream.ask(CLUSTER)
    stream.nack(only(stream), "Unable to unpack")
    stream.publish(cluster("a", "2"))
    [event] = stream.nack(only(stream), "Unable to unpack")
    assert isinstance(event, Nacked)
    assert (event.suspects, event.certain) == ((cluster("a", "2"),), False)


@pytest.mark.parametrize("acks_refused", [False, True])
def test_where_a_refused_version_is_accepted_when_it_comes_again_that_acquits_nobody(
    stream: Stream, *, acks_refused: bool
) -> None:
    snapshot = Snapshot.of(route(name) for name in NAMES)
    opened = type(stream)([TypeRules(ROUTE, acks_refused=acks_refused)], snapshot)
    opened.ask(ROUTE, *NAMES)
    status = TypeStatus()

    def tell(events: tuple[Event, ...]) -> None:
        for event in events:
            status.fold(event, opened.now)

    tell(opened.nack(only(opened), "not a certificate"))
    tell(opened.ack(only(opened)))
    tell(opened.nack(only(opened), "a name is too long"))
    tell(opened.ack(only(opened)))
    assert opened.session.settled
    suspected = [(refusal.names, refusal.certain) for refusal in status.refusals]
    assert suspected == [(("a", "c"), False)] * acks_refused + [(("b",), True)]
    opened.publish(*(route(name, content="2") for name in NAMES))
    tell(opened.ack(only(opened)))
    assert status.refusals == ()


def test_a_stream_of_another_type_does_not_wait(stream: Stream) -> None:
    refused(stream)
    only(stream)
    stream.publish(endpoint("e"))
    stream.ask(ENDPOINT, "e")
    assert heard(stream) == [b"e=1"]
