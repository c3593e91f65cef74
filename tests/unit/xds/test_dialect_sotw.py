"""State of the world: full state, staleness, names that are repeated."""

from __future__ import annotations

from meltemi.testing.resources import ROUTE, RULES, cluster, endpoint, listener, route
from meltemi.testing.xds_client import Response, SotwConversation
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, SECRET, Key
from meltemi.xds.snapshot import Snapshot

WORLD = Snapshot.of(
    [cluster("a"), cluster("b"), endpoint("a"), endpoint("b"), listener("l"), route("r")]
)


def open_stream(snapshot: Snapshot = WORLD) -> SotwConversation:
    return SotwConversation(RULES, snapshot)


def only(responses: list[Response]) -> Response:
    [response] = responses
    return response


def test_clusters_are_sent_in_full_when_one_changes() -> None:
    stream = open_stream()
    stream.ask(CLUSTER)
    stream.ack(only(stream.hear()))
    stream.publish(cluster("b", "2"))
    assert set(only(stream.hear()).bodies) == {b"a=1", b"b=2"}


def test_a_removed_listener_is_absent_from_the_next_response() -> None:
    stream = open_stream()
    stream.ask(LISTENER)
    stream.ack(only(stream.hear()))
    stream.publish(removed=[Key(LISTENER, "l")])
    assert only(stream.hear()).bodies == ()


def test_named_clusters_are_sent_in_full_but_only_those() -> None:
    stream = open_stream()
    stream.ask(CLUSTER, "b", "missing")
    assert only(stream.hear()).bodies == (b"b=1",)


def test_a_full_state_type_answers_even_when_nothing_of_it_exists() -> None:
    stream = open_stream()
    stream.ask(LISTENER, "missing")
    response = only(stream.hear())
    assert response.bodies == ()
    stream.ack(response)
    stream.ask(LISTENER, "missing", "too")
    assert only(stream.hear()).bodies == ()


def test_other_types_send_only_what_changed() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a", "b")
    stream.ack(only(stream.hear()))
    stream.publish(endpoint("b", "2"))
    assert only(stream.hear()).bodies == (b"b=2",)


def test_fewer_names_are_no_reason_for_a_response() -> None:
    stream = open_stream()
    stream.ask(CLUSTER, "a", "b")
    stream.ack(only(stream.hear()))
    stream.ask(CLUSTER, "a")
    assert stream.hear() == []


def test_more_names_bring_the_new_ones_at_an_unchanged_version() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a")
    first = only(stream.hear())
    stream.ack(first)
    stream.ask(ENDPOINT, "a", "b")
    second = only(stream.hear())
    assert second.bodies == (b"b=1",)
    assert second.version == first.version


def test_a_new_name_in_full_state_brings_everything() -> None:
    stream = open_stream()
    stream.ask(CLUSTER, "a")
    stream.ack(only(stream.hear()))
    stream.ask(CLUSTER, "a", "b")
    assert only(stream.hear()).bodies == (b"a=1", b"b=1")


def test_names_in_a_stale_request_count_and_only_new_ones_are_answered() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a")
    first = only(stream.hear())
    stream.ack(first)
    stream.publish(endpoint("a", "2"))
    second = only(stream.hear())
    stream.ask(ENDPOINT, "a", "b", nonce=first.nonce)
    assert stream.hear() == []
    stream.ack(second)
    assert only(stream.hear()).bodies == (b"b=1",)


def test_a_name_that_a_stale_request_adds_does_not_wait_for_ever() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a")
    first = only(stream.hear())
    stream.ack(first)
    stream.publish(endpoint("a", "2"))
    second = only(stream.hear())
    stream.ask(ENDPOINT, "a", "b", nonce=first.nonce)
    stream.now += 1
    assert only(stream.hear()).bodies == (b"b=1",)
    assert stream.ack(second) != ()


def test_a_repeated_request_after_a_changed_cluster_has_its_answer_already() -> None:
    stream = open_stream()
    stream.ask(CLUSTER)
    stream.ask(ENDPOINT, "a", "b")
    for response in stream.hear():
        stream.ack(response)
    stream.publish(cluster("a", "2"))
    clusters, endpoints = stream.hear()
    assert (clusters.type_url, endpoints.bodies) == (CLUSTER, (b"a=1",))
    stream.ask(ENDPOINT, "a", "b")
    assert stream.hear() == []


def test_names_in_a_refusal_count() -> None:
    stream = open_stream()
    stream.ask(ROUTE, "r")
    response = only(stream.hear())
    stream.ask(ROUTE, "r", "s", nonce="")
    stream.nack(response, "no")
    stream.publish(route("s"))
    assert only(stream.hear()).bodies == (b"s=1",)


def test_a_missing_assignment_is_an_empty_one() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a", "missing")
    assert only(stream.hear()).bodies == (b"a=1", b"missing=")


def test_an_assignment_that_disappears_becomes_empty() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a")
    stream.ack(only(stream.hear()))
    stream.publish(removed=[Key(ENDPOINT, "a")])
    assert only(stream.hear()).bodies == (b"a=",)


def test_missing_secrets_and_routes_are_silence() -> None:
    stream = open_stream()
    stream.ask(SECRET, "missing")
    stream.ask(ROUTE, "missing")
    assert stream.hear() == []


def test_the_wildcard_can_return_and_brings_everything() -> None:
    stream = open_stream()
    stream.ask(CLUSTER, "a")
    stream.ack(only(stream.hear()))
    stream.ask(CLUSTER, "a", "*")
    response = only(stream.hear())
    assert set(response.bodies) == {b"a=1", b"b=1"}
    stream.ack(response)
    stream.ask(CLUSTER, "a")
    stream.publish(cluster("b", "2"))
    assert stream.hear() == []


def test_a_first_request_with_a_nonce_of_another_stream_is_answered() -> None:
    stream = open_stream()
    stream.ask(CLUSTER, version=WORLD.version(CLUSTER), nonce="17")
    assert only(stream.hear()).bodies == (b"a=1", b"b=1")


def test_empty_and_repeated_names_are_tolerated() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a", "", "a")
    assert only(stream.hear()).bodies == (b"a=1",)
    stream.ask(ENDPOINT, "")
    stream.now += 1
    assert stream.hear() == []
    stream.publish(endpoint("a", "2"))
    assert stream.hear() == []


def test_refusing_the_very_first_response_does_not_loop() -> None:
    stream = open_stream()
    stream.ask(CLUSTER)
    stream.nack(only(stream.hear()), "Error adding/updating cluster(s) a: bad")
    stream.now += 100
    assert stream.hear() == []


def test_the_version_changes_with_any_resource_of_the_type_only() -> None:
    stream = open_stream()
    stream.ask(ROUTE, "r")
    first = only(stream.hear())
    stream.ack(first)
    stream.publish(cluster("c"))
    stream.publish(route("other"))
    stream.publish(route("r", content="2"))
    second = only(stream.hear())
    assert second.version != first.version
    assert second.version == stream.snapshot.version(ROUTE)


def test_a_long_list_of_names_may_be_repeated_and_changed() -> None:
    names = [f"outbound|20880|v1|service-{number}.shop.svc.cluster.local" for number in range(40)]
    stream = open_stream(Snapshot.of(endpoint(name) for name in names))
    stream.ask(ENDPOINT, *names[:-1])
    response = only(stream.hear())
    assert len(response.bodies) == 39
    stream.ack(response)
    assert stream.hear() == []
    stream.ask(ENDPOINT, *names)
    assert only(stream.hear()).bodies == (f"{names[-1]}=1".encode(),)


def test_a_long_list_of_names_is_new_to_each_type() -> None:
    names = [f"outbound|20880|v1|service-{number}.shop.svc.cluster.local" for number in range(40)]
    stream = open_stream(Snapshot.of([*map(endpoint, names), *map(route, names)]))
    stream.ask(ENDPOINT, *names)
    stream.ask(ROUTE, *names)
    assert [len(response.bodies) for response in stream.hear()] == [40, 40]
