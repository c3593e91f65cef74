"""Delta: adding and dropping, removals, reconnects."""

from __future__ import annotations

import pytest

from meltemi.testing.resources import ROUTE, RULES, cluster, endpoint, listener, plain, route
from meltemi.testing.xds_client import DeltaConversation, Response
from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    RUNTIME,
    SECRET,
    Key,
    Removal,
    TypeRules,
    content_version,
)
from meltemi.xds.session import Resumed, Subscribed
from meltemi.xds.snapshot import Snapshot

WORLD = Snapshot.of(
    [cluster("a"), cluster("b"), endpoint("a"), endpoint("b"), listener("l"), route("r")]
)
VERSIONS = {
    type_url: {name: resource.version for name, resource in WORLD.of_type(type_url).items()}
    for type_url in WORLD.types()
}


def open_stream(snapshot: Snapshot = WORLD) -> DeltaConversation:
    return DeltaConversation(RULES, snapshot)


def only(responses: list[Response]) -> Response:
    [response] = responses
    return response


def test_only_the_changed_resource_is_sent_with_its_own_version() -> None:
    stream = open_stream()
    stream.ask(CLUSTER)
    first = only(stream.hear())
    assert first.names == ("a", "b")
    assert dict(zip(first.names, first.versions, strict=True)) == VERSIONS[CLUSTER]
    stream.ack(first)
    stream.publish(cluster("b", "2"))
    second = only(stream.hear())
    assert (second.names, second.bodies, second.removed) == (("b",), (b"b=2",), ())
    assert second.versions == (cluster("b", "2").version,)


def test_asking_again_for_what_one_has_brings_it_again() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a")
    stream.ack(only(stream.hear()))
    stream.ask(ENDPOINT, "a")
    assert only(stream.hear()).names == ("a",)


def test_asking_again_for_everything_brings_everything() -> None:
    stream = open_stream()
    stream.ask(CLUSTER)
    stream.ack(only(stream.hear()))
    stream.ask(CLUSTER, "*")
    response = only(stream.hear())
    assert (response.names, response.removed) == (("a", "b"), ())


def test_an_unknown_cluster_or_listener_is_removed_and_stays_asked_for() -> None:
    stream = open_stream()
    stream.ask(LISTENER, "later")
    response = only(stream.hear())
    assert (response.names, response.removed) == ((), ("later",))
    stream.ack(response)
    stream.publish(listener("later"))
    assert only(stream.hear()).names == ("later",)


def test_a_deleted_listener_is_removed_once() -> None:
    stream = open_stream()
    stream.ask(LISTENER)
    stream.ack(only(stream.hear()))
    stream.publish(removed=[Key(LISTENER, "l")])
    response = only(stream.hear())
    assert (response.names, response.removed) == ((), ("l",))
    stream.ack(response)
    assert stream.hear() == []


def test_a_missing_assignment_is_empty_where_a_cluster_names_it_and_removed_elsewhere() -> None:
    stream = open_stream(WORLD.replace({Key(ENDPOINT, "a"): None}))
    stream.ask(ENDPOINT, "a", "nobody")
    response = only(stream.hear())
    assert (response.names, response.bodies) == (("a",), (b"a=",))
    assert response.versions == (content_version(b"a="),)
    assert response.removed == ("nobody",)


def test_missing_secrets_and_routes_are_silence() -> None:
    stream = open_stream()
    stream.ask(SECRET, "missing")
    stream.ask(ROUTE, "missing")
    assert stream.hear() == []


def test_a_name_dropped_under_a_wildcard_is_answered() -> None:
    stream = open_stream()
    stream.ask(LISTENER, "*", "l", "gone")
    stream.ack(only(stream.hear()))
    stream.ask(LISTENER, drop=["l", "gone", "never asked for"])
    response = only(stream.hear())
    assert (response.names, response.removed) == (("l",), ("gone",))


def test_a_name_dropped_without_a_wildcard_is_silence() -> None:
    stream = open_stream()
    stream.ask(LISTENER, "l")
    stream.ack(only(stream.hear()))
    stream.ask(LISTENER, drop=["l", "never asked for"])
    assert stream.hear() == []


def test_dropping_the_wildcard_keeps_names() -> None:
    stream = open_stream()
    stream.ask(CLUSTER)
    stream.ack(only(stream.hear()))
    stream.ask(CLUSTER, "b")
    stream.ack(only(stream.hear()))
    stream.ask(CLUSTER, drop=["*"])
    stream.publish(cluster("a", "2"), cluster("b", "2"))
    assert only(stream.hear()).names == ("b",)


def test_adding_and_dropping_in_an_answer_counts_even_if_it_is_stale() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a")
    stream.ack(only(stream.hear()))
    stream.ask(ENDPOINT, "b", drop=["a"], nonce="of nobody")
    assert only(stream.hear()).names == ("b",)
    stream.now += 1
    stream.publish(endpoint("a", "2"))
    assert stream.hear() == []


def test_a_name_that_is_added_and_dropped_at_once_is_not_answered() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a", "", drop=["a", ""])
    assert stream.hear() == []


def test_a_reconnect_with_equal_state_is_silence() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a", "b", initial=VERSIONS[ENDPOINT])
    stream.ask(LISTENER, initial=VERSIONS[LISTENER])
    stream.ask(ROUTE, "r", initial=VERSIONS[ROUTE])
    stream.ask(CLUSTER, initial=VERSIONS[CLUSTER])
    assert stream.hear() == []
    assert stream.session.deadline() is None


def test_a_reconnect_that_gets_nothing_is_told_to_hold_what_it_should() -> None:
    stream = open_stream()
    resumed = Resumed(LISTENER, WORLD.version(LISTENER))
    held = VERSIONS[LISTENER]
    assert stream.ask(LISTENER, initial=held) == (Subscribed(LISTENER), resumed)
    assert open_stream().ask(LISTENER, initial={"l": "old"}) == (Subscribed(LISTENER),)
    assert open_stream().ask(LISTENER) == (Subscribed(LISTENER),)
    assert stream.ask(ROUTE, "nothing") == (Subscribed(ROUTE),)


def test_a_reconnect_brings_what_differs_and_removes_what_is_gone() -> None:
    stream = open_stream(WORLD.replace({Key(LISTENER, "m"): listener("m", content="2")}))
    initial = VERSIONS[LISTENER] | {"m": "old", "gone": "1"}
    stream.ask(LISTENER, initial=initial)
    stream.ask(CLUSTER, initial=VERSIONS[CLUSTER])
    response = only(stream.hear())
    assert (response.names, response.removed) == (("m",), ("gone",))


def test_a_reconnect_by_wildcard_brings_what_the_proxy_never_had() -> None:
    stream = open_stream()
    stream.ask(CLUSTER, initial={"a": VERSIONS[CLUSTER]["a"]})
    assert only(stream.hear()).names == ("b",)


def test_names_that_are_only_in_the_initial_versions_are_not_asked_for() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a", initial={"a": "old", "b": "old", "c": "old"})
    stream.ask(CLUSTER, initial=VERSIONS[CLUSTER])
    assert only(stream.hear()).names == ("a",)


def test_later_initial_versions_are_ignored() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a")
    stream.ack(only(stream.hear()))
    stream.ask(ENDPOINT, "a", initial=VERSIONS[ENDPOINT])
    assert only(stream.hear()).names == ("a",)


def test_a_reconnect_spares_an_assignment_that_only_the_proxy_knows() -> None:
    stream = open_stream()
    stream.ask(ENDPOINT, "a", "gone", "new", initial=VERSIONS[ENDPOINT] | {"gone": "1"})
    response = only(stream.hear())
    assert (response.names, response.removed) == ((), ("new",))


@pytest.mark.parametrize(("held", "names"), [("old", ("layer",)), (content_version(b"layer="), ())])
def test_a_made_resource_is_compared_like_any_other(held: str, names: tuple[str, ...]) -> None:
    stream = open_stream()
    stream.ask(RUNTIME, "layer", initial={"layer": held})
    assert tuple(name for response in stream.hear() for name in response.names) == names


def test_a_reconnect_empties_an_assignment_whose_cluster_remains() -> None:
    stream = open_stream(WORLD.replace({Key(ENDPOINT, "a"): None}))
    stream.ask(ENDPOINT, "a", initial=VERSIONS[ENDPOINT])
    assert only(stream.hear()).bodies == (b"a=",)


def test_a_reconnect_may_start_with_any_type() -> None:
    stream = open_stream(WORLD.replace({Key(RUNTIME, "layer"): plain(RUNTIME, "layer")}))
    stream.ask(ENDPOINT, "a", initial={"a": "old"})
    assert only(stream.hear()).names == ("a",)
    stream.ask(RUNTIME, "layer", initial={"layer": "old"})
    assert only(stream.hear()).names == ("layer",)


ANNOUNCED = (TypeRules(EXTENSION, removal=Removal.AT_ONCE),)
"""Silence about what never was, a word about what goes away."""


def test_a_removal_at_once_is_told_where_unknown_names_are_met_with_silence() -> None:
    stream = DeltaConversation(ANNOUNCED, Snapshot.of([plain(EXTENSION, "a")]))
    stream.ask(EXTENSION, "a", "never")
    first = only(stream.hear())
    assert (first.names, first.removed) == (("a",), ())
    stream.ack(first)
    stream.publish(removed=[Key(EXTENSION, "a")])
    second = only(stream.hear())
    assert (second.names, second.removed) == ((), ("a",))


def test_a_removal_during_a_reconnect_is_told_where_unknown_names_are_met_with_silence() -> None:
    stream = DeltaConversation(ANNOUNCED, Snapshot())
    stream.ask(EXTENSION, "a", "never", initial={"a": "1"})
    assert only(stream.hear()).removed == ("a",)


def test_a_wildcard_says_nothing_of_a_silent_name_that_it_was_asked_with() -> None:
    stream = DeltaConversation(ANNOUNCED, Snapshot())
    stream.ask(EXTENSION, "*", "never")
    assert only(stream.hear()).removed == ()


def test_a_stream_of_assignments_alone_hears_at_once_which_are_gone() -> None:
    stream = DeltaConversation(RULES, WORLD, only=ENDPOINT)
    stream.ask(ENDPOINT, "a", "gone", initial=VERSIONS[ENDPOINT] | {"gone": "1"})
    [response] = stream.hear()
    assert (response.names, response.removed) == ((), ("gone",))


def test_an_assignment_that_is_gone_goes_with_the_cluster_that_lingers() -> None:
    stream = DeltaConversation(RULES, WORLD, drain=10)
    stream.ask(ENDPOINT, "a", "gone", initial=VERSIONS[ENDPOINT] | {"gone": "1"})
    stream.ask(CLUSTER, initial=VERSIONS[CLUSTER] | {"gone": "1"})
    assert stream.hear() == []
    stream.now += 10
    assert [(each.type_url, each.removed) for each in stream.hear()] == [
        (CLUSTER, ("gone",)),
        (ENDPOINT, ("gone",)),
    ]
