"""What both dialects have in common: requests, nonces, answers, order."""

from __future__ import annotations

import pytest

from meltemi.testing.resources import ROUTE, RULES, cluster, endpoint, listener, plain, route
from meltemi.testing.xds_client import (
    Conversation,
    DeltaConversation,
    Response,
    SotwConversation,
    delta_request,
    sotw_request,
)
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, RUNTIME, Key
from meltemi.xds.session import Acked, Dropped, Nacked, Pushed, Subscribed, Unsubscribed
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.wire import ProtocolError

WORLD = Snapshot.of(
    [
        cluster("a"),
        cluster("b"),
        endpoint("a"),
        endpoint("b"),
        listener("l", "a"),
        route("r", "a"),
        plain(RUNTIME, "layer"),
    ]
)

Stream = SotwConversation | DeltaConversation


@pytest.fixture(params=[SotwConversation, DeltaConversation], ids=["sotw", "delta"])
def stream(request: pytest.FixtureRequest) -> Stream:
    opened: Stream = request.param(RULES, WORLD)
    return opened


def heard(stream: Conversation) -> list[tuple[str, tuple[bytes, ...]]]:
    return [(response.type_url, response.bodies) for response in stream.hear()]


def only(responses: list[Response]) -> Response:
    [response] = responses
    return response


def warm(stream: Stream) -> None:
    """A proxy that has everything and has accepted it."""
    stream.ask(CLUSTER)
    stream.ask(ENDPOINT, "a", "b")
    settle(stream)
    stream.ask(LISTENER)
    stream.ask(ROUTE, "r")
    settle(stream)


def settle(stream: Stream) -> None:
    while responses := stream.hear():
        for response in responses:
            stream.ack(response)


def test_a_subscriber_hears_all_of_the_type(stream: Stream) -> None:
    assert stream.ask(CLUSTER) == (Subscribed(CLUSTER),)
    response = only(stream.hear())
    assert response.type_url == CLUSTER
    assert response.bodies == (b"a=1", b"b=1")
    assert response.resource_types == {CLUSTER}
    assert response.version == WORLD.version(CLUSTER)
    assert response.identifier == "meltemi"


def test_an_accepted_response_is_followed_by_silence(stream: Stream) -> None:
    stream.ask(CLUSTER)
    response = only(stream.hear())
    [event] = stream.ack(response)
    assert isinstance(event, Acked)
    assert (event.version, event.nonce) == (response.version, response.nonce)
    assert stream.hear() == []
    stream.now += 100
    assert stream.hear() == []
    assert stream.session.deadline() is None


def test_an_answer_counts_once(stream: Stream) -> None:
    stream.ask(CLUSTER)
    response = only(stream.hear())
    stream.ack(response)
    assert stream.ack(response) == ()
    assert stream.nack(response, "too late") == ()


def test_refused_content_is_not_repeated_and_the_next_change_is_sent(stream: Stream) -> None:
    stream.ask(ROUTE, "r")
    refused = stream.nack(only(stream.hear()), "missing ]")
    assert [type(event) for event in refused] == [Nacked]
    stream.now += 100
    assert stream.hear() == []
    stream.publish(route("r", "a", content="2"))
    assert only(stream.hear()).bodies == (b"r=2",)


def test_a_refused_later_response_is_not_taken_for_accepted(stream: Stream) -> None:
    stream.ask(CLUSTER)
    first = only(stream.hear())
    stream.ack(first)
    stream.publish(cluster("c"))
    second = only(stream.hear())
    [event] = stream.nack(second, "Error adding/updating cluster(s) c: bad")
    assert isinstance(event, Nacked)
    assert (event.version, event.nonce) == (second.version, second.nonce)
    assert (event.suspects, event.certain) == ((cluster("c"),), True)
    assert event.message == "Error adding/updating cluster(s) c: bad"
    assert event.suspects[0].origins == ("origin of c",)


def test_a_refusal_that_names_nobody_suspects_all_that_was_new(stream: Stream) -> None:
    warm(stream)
    stream.publish(route("r", "a", content="2"), endpoint("a", "2"), endpoint("b", "2"))
    endpoints, routes = stream.hear()
    [event] = stream.nack(endpoints, "malformed IP address")
    assert isinstance(event, Nacked)
    assert {suspect.name for suspect in event.suspects} == {"a", "b"}
    assert not event.certain
    [event] = stream.nack(routes, "missing ]")
    assert isinstance(event, Nacked)
    assert event.suspects == (route("r", "a", content="2"),)


def test_a_refusal_may_name_what_was_not_in_the_response(stream: Stream) -> None:
    warm(stream)
    stream.publish(listener("m", "a"))
    text = "Error adding/updating listener(s) l: has duplicate address"
    [event] = stream.nack(only(stream.hear()), text)
    assert isinstance(event, Nacked)
    assert event.suspects == (listener("l", "a"),)


def test_who_accepts_that_something_is_gone_accepts_it_by_name(stream: Stream) -> None:
    warm(stream)
    stream.publish(removed=[Key(LISTENER, "l")])
    [event] = stream.ack(only(stream.hear()))
    assert isinstance(event, Acked)
    assert event.names == {"l"}


def test_what_was_refused_is_forgotten_when_the_proxy_asks_for_it_no_more(stream: Stream) -> None:
    stream.ask(ENDPOINT, "a", "b")
    stream.nack(only(stream.hear()), "malformed")
    dropped = Dropped(ENDPOINT, frozenset("a")), Dropped(ENDPOINT, frozenset("b"))
    if isinstance(stream, SotwConversation):
        assert stream.ask(ENDPOINT, "b") == (dropped[0],)
        assert stream.ask(ENDPOINT) == (dropped[1], Unsubscribed(ENDPOINT))
    else:
        assert stream.ask(ENDPOINT, drop=["a"]) == (dropped[0],)
        assert stream.ask(ENDPOINT, drop=["b"]) == (dropped[1], Unsubscribed(ENDPOINT))


def test_a_late_answer_covers_the_responses_before_it(stream: Stream) -> None:
    warm(stream)
    for content in ("2", "3"):
        stream.publish(route("r", "a", content=content), removed=[])
        stream.now += 5
        last = only(stream.hear())
    [event] = stream.nack(last, "missing ]")
    assert isinstance(event, Nacked)
    assert [suspect.body for suspect in event.suspects] == [b"r=3"]
    stream.publish(endpoint("a", "2"))
    stream.now += 5
    stream.hear()
    stream.publish(endpoint("b", "2"))
    stream.now += 5
    [event] = stream.nack(only(stream.hear()), "malformed")
    assert isinstance(event, Nacked)
    assert {suspect.name for suspect in event.suspects} == {"a", "b"}


def test_responses_that_are_never_answered_are_forgotten_some_day(stream: Stream) -> None:
    warm(stream)
    nonces: list[Response] = []
    for content in range(2, 30):
        stream.publish(route("r", "a", content=str(content)))
        stream.now += 5
        nonces.append(only(stream.hear()))
    assert stream.ack(nonces[0]) == ()
    assert stream.ack(nonces[-1]) != ()


def test_one_response_of_a_type_waits_for_the_answer_to_the_last_one(stream: Stream) -> None:
    stream.ask(ROUTE, "r")
    first = only(stream.hear())
    stream.publish(route("r", "a", content="2"))
    stream.publish(route("r", "a", content="3"))
    assert stream.hear() == []
    stream.ack(first)
    assert only(stream.hear()).bodies == (b"r=3",)


def test_the_wait_for_an_answer_ends_after_a_second(stream: Stream) -> None:
    stream.ask(ROUTE, "r")
    stream.hear()
    stream.publish(route("r", "a", content="2"))
    assert stream.session.deadline() == 1.0
    stream.now = 0.99
    assert stream.hear() == []
    stream.now = 1.0
    assert only(stream.hear()).bodies == (b"r=2",)


def test_an_unanswered_type_does_not_hold_back_others(stream: Stream) -> None:
    stream.ask(CLUSTER)
    stream.hear()
    stream.ask(ENDPOINT, "a")
    assert heard(stream) == [(ENDPOINT, (b"a=1",))]


def test_the_answer_to_an_older_response_does_not_release_the_next(stream: Stream) -> None:
    stream.ask(ROUTE, "r")
    first = only(stream.hear())
    stream.now = 1.0
    stream.publish(route("r", "a", content="2"))
    second = only(stream.hear())
    stream.publish(route("r", "a", content="3"))
    stream.ack(first)
    assert stream.hear() == []
    stream.ack(second)
    assert only(stream.hear()).bodies == (b"r=3",)


def test_types_do_not_mix(stream: Stream) -> None:
    stream.ask(CLUSTER)
    clusters = only(stream.hear())
    stream.ask(ENDPOINT, "a")
    endpoints = only(stream.hear())
    [event] = stream.ack(clusters)
    assert isinstance(event, Acked)
    assert (event.type_url, event.version) == (CLUSTER, clusters.version)
    [event] = stream.ack(endpoints)
    assert isinstance(event, Acked)
    assert (event.type_url, event.version) == (ENDPOINT, endpoints.version)


def test_nonces_are_never_empty_and_never_repeated(stream: Stream) -> None:
    stream.ask(CLUSTER)
    stream.ask(ENDPOINT, "a", "b")
    nonces = [response.nonce for response in stream.hear()]
    for content in "234":
        stream.now += 5
        stream.publish(endpoint("a", content), cluster("a", content))
        nonces += [response.nonce for response in stream.hear()]
    assert len(nonces) == len(set(nonces)) == 8
    assert all(nonces)


def test_clusters_come_first_then_endpoints_listeners_and_routes(stream: Stream) -> None:
    warm(stream)
    stream.publish(
        route("r", "b", content="2"),
        listener("l", "b", content="2"),
        endpoint("b", "2"),
        cluster("b", "2"),
    )
    assert [type_url for type_url, _ in heard(stream)] == [CLUSTER, ENDPOINT, LISTENER, ROUTE]


def test_the_assignment_goes_again_with_a_changed_cluster(stream: Stream) -> None:
    warm(stream)
    stream.publish(cluster("a", "2"))
    assert heard(stream)[1:] == [(ENDPOINT, (b"a=1",))]


def test_a_change_that_a_stream_did_not_ask_for_is_silent(stream: Stream) -> None:
    warm(stream)
    stream.publish(endpoint("z"), route("z", "a"), plain(RUNTIME, "layer", "2"))
    assert stream.hear() == []
    assert stream.session.deadline() is None


def test_a_change_that_does_not_concern_a_stream_does_not_wake_it(stream: Stream) -> None:
    stream.ask(ROUTE, "r")
    stream.hear()
    stream.publish(route("z"))
    assert stream.session.deadline() is None


def test_a_name_that_appears_later_is_sent_then(stream: Stream) -> None:
    stream.ask(ROUTE, "later")
    assert stream.hear() == []
    stream.publish(route("later"))
    assert only(stream.hear()).bodies == (b"later=1",)


def test_dropping_and_asking_again_brings_the_resource_again(stream: Stream) -> None:
    stream.ask(ROUTE, "r", "s")
    settle(stream)
    if isinstance(stream, SotwConversation):
        assert stream.ask(ROUTE, "s") == ()
        assert stream.hear() == []
        stream.ask(ROUTE, "s", "r")
    else:
        assert stream.ask(ROUTE, drop=["r"]) == ()
        assert stream.hear() == []
        stream.ask(ROUTE, "r")
    assert only(stream.hear()).bodies == (b"r=1",)


def test_what_was_dropped_is_not_sent_any_more(stream: Stream) -> None:
    stream.ask(ROUTE, "r")
    settle(stream)
    if isinstance(stream, SotwConversation):
        assert stream.ask(ROUTE) == (Unsubscribed(ROUTE),)
    else:
        assert stream.ask(ROUTE, drop=["r"]) == (Unsubscribed(ROUTE),)
    stream.publish(route("r", "a", content="2"))
    assert stream.hear() == []
    assert stream.ask(ROUTE, "r") == (Subscribed(ROUTE),)


def test_an_empty_wildcard_is_answered_so_that_a_proxy_can_start(stream: Stream) -> None:
    stream.publish(removed=[Key(CLUSTER, "a"), Key(CLUSTER, "b")])
    stream.ask(CLUSTER)
    response = only(stream.hear())
    assert (response.type_url, response.bodies, response.removed) == (CLUSTER, (), ())


def test_names_of_other_types_are_no_wildcard_when_there_are_none(stream: Stream) -> None:
    assert stream.ask(ENDPOINT) == ()
    assert stream.hear() == []
    stream.publish(endpoint("a", "2"))
    assert stream.hear() == []


def test_an_explicit_wildcard_works_for_every_type(stream: Stream) -> None:
    stream.ask(ENDPOINT, "*")
    assert only(stream.hear()).bodies == (b"a=1", b"b=1")


def test_a_missing_runtime_layer_is_an_explicit_empty_one(stream: Stream) -> None:
    stream.ask(RUNTIME, "other")
    assert only(stream.hear()).bodies == (b"other=",)


def test_a_runtime_layer_that_disappears_becomes_empty(stream: Stream) -> None:
    stream.ask(RUNTIME, "layer")
    settle(stream)
    stream.publish(removed=[Key(RUNTIME, "layer")])
    response = only(stream.hear())
    assert (response.bodies, response.removed) == ((b"layer=",), ())


def test_a_route_that_disappears_is_never_removed(stream: Stream) -> None:
    stream.ask(ROUTE, "r")
    settle(stream)
    stream.publish(removed=[Key(ROUTE, "r")])
    assert stream.hear() == []


def test_an_unknown_type_is_silence_and_the_stream_lives(stream: Stream) -> None:
    assert stream.ask("type.googleapis.com/unknown", "a") == ()
    assert stream.hear() == []
    stream.ask(CLUSTER)
    assert only(stream.hear()).type_url == CLUSTER


def test_the_node_may_come_once_or_with_every_request(stream: Stream) -> None:
    request = sotw_request if isinstance(stream, SotwConversation) else delta_request
    stream.send(request(CLUSTER, node="proxy"))
    stream.send(request(RUNTIME, ["layer"]))
    stream.send(request(ENDPOINT, ["a"], node="proxy"))
    assert len(stream.hear()) == 3


def test_another_node_on_the_same_stream_breaks_the_protocol(stream: Stream) -> None:
    request = sotw_request if isinstance(stream, SotwConversation) else delta_request
    with pytest.raises(ProtocolError, match=r"node\.id changed from 'proxy' to 'other'"):
        stream.send(request(CLUSTER, node="other"))


def test_an_aggregated_request_without_a_type_breaks_the_protocol(stream: Stream) -> None:
    with pytest.raises(ProtocolError, match="type_url"):
        stream.send(b"")


@pytest.fixture(params=[SotwConversation, DeltaConversation], ids=["sotw", "delta"])
def routes_only(request: pytest.FixtureRequest) -> Stream:
    opened: Stream = request.param(RULES, WORLD, only=ROUTE)
    return opened


def test_a_service_of_one_type_needs_no_type(routes_only: Stream) -> None:
    assert routes_only.ask("", "r") == (Subscribed(ROUTE),)
    response = only(routes_only.hear())
    assert (response.type_url, response.bodies) == (ROUTE, (b"r=1",))


def test_a_service_of_one_type_refuses_others(routes_only: Stream) -> None:
    with pytest.raises(ProtocolError, match="serves"):
        routes_only.ask(CLUSTER)


def test_a_service_of_one_type_never_waits_for_clusters(routes_only: Stream) -> None:
    if isinstance(routes_only, SotwConversation):
        routes_only.ask(ROUTE, "r", version="of an earlier stream")
    else:
        routes_only.ask(ROUTE, "r", initial={"r": "of an earlier stream"})
    assert only(routes_only.hear()).bodies == (b"r=1",)
    routes_only.now += 5
    routes_only.publish(cluster("new"), route("r", "new", content="2"))
    assert only(routes_only.hear()).bodies == (b"r=2",)


def test_the_same_content_has_the_same_version_on_every_stream() -> None:
    versions: set[str] = set()
    for number in range(2):
        stream = SotwConversation(RULES, Snapshot())
        for name in ("a", "b") if number else ("b", "a"):
            stream.publish(cluster(name))
        stream.ask(CLUSTER)
        versions.add(only(stream.hear()).version)
    assert len(versions) == 1


def test_what_was_written_is_told_with_its_nonce_and_size(stream: Stream) -> None:
    assert stream.session.pushed is None
    stream.ask(CLUSTER)
    raw = stream.session.next_response(stream.now)
    assert raw is not None
    response = stream.read(raw)
    assert stream.session.pushed == Pushed(CLUSTER, response.version, response.nonce, len(raw))


def test_an_acceptance_tells_how_long_it_took(stream: Stream) -> None:
    stream.ask(CLUSTER)
    response = only(stream.hear())
    stream.now = 0.25
    [event] = stream.ack(response)
    assert isinstance(event, Acked)
    assert event.waited == 0.25


def test_a_stream_is_settled_when_everything_is_answered_and_nothing_is_due(
    stream: Stream,
) -> None:
    warm(stream)
    assert stream.session.settled
    stream.publish(cluster("a", content="2"))
    assert not stream.session.settled
    responses = stream.hear()
    assert not stream.session.settled
    for response in responses:
        stream.ack(response)
    assert stream.session.settled


def test_a_stream_knows_its_dialect_and_the_types_that_it_may_ask_for(stream: Stream) -> None:
    expected = "sotw" if isinstance(stream, SotwConversation) else "delta"
    assert stream.session.dialect == expected
    assert [*stream.session.types] == [rules.type_url for rules in RULES]


def test_a_cluster_stays_while_a_refused_route_may_use_it_though_others_are_accepted(
    stream: Stream,
) -> None:
    warm(stream)
    stream.ask(ROUTE, "r", "s")
    settle(stream)
    stream.publish(route("r", "b", content="2"), listener("l", "b", content="2"))
    for response in stream.hear():
        stream.nack(response, "bad") if response.type_url == ROUTE else stream.ack(response)
    stream.publish(removed=[Key(CLUSTER, "a"), Key(ENDPOINT, "a")])
    stream.publish(route("s", "b"))
    settle(stream)
    stream.now += 3600
    assert stream.hear() == []
    stream.publish(route("r", "b", content="3"))
    settle(stream)
    stream.now += 3600
    assert CLUSTER in [response.type_url for response in stream.hear()]


def test_a_refused_route_that_is_gone_keeps_no_cluster(stream: Stream) -> None:
    warm(stream)
    stream.publish(route("r", "b", content="2"), listener("l", "b", content="2"))
    for response in stream.hear():
        stream.nack(response, "bad") if response.type_url == ROUTE else stream.ack(response)
    stream.publish(removed=[Key(CLUSTER, "a"), Key(ENDPOINT, "a"), Key(ROUTE, "r")])
    settle(stream)
    stream.now += 3600
    assert CLUSTER in [response.type_url for response in stream.hear()]
