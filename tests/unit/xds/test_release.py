"""Make before break: what is held, for how long, and what lingers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meltemi.testing.resources import ROUTE, RULES, cluster, endpoint, listener, route
from meltemi.testing.xds_client import DeltaConversation, Response, SotwConversation
from meltemi.xds.release import PATIENCE
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Key
from meltemi.xds.snapshot import Snapshot

DRAIN = 60.0
WORLD = Snapshot.of([cluster("a"), endpoint("a"), listener("l", "a"), route("r", "a")])
NAMED = "Error adding/updating cluster(s) {}: bad"

Stream = SotwConversation | DeltaConversation


@pytest.fixture(params=[SotwConversation, DeltaConversation], ids=["sotw", "delta"])
def stream(request: pytest.FixtureRequest) -> Stream:
    opened: Stream = request.param(RULES, WORLD, drain=DRAIN)
    return opened


@pytest.fixture
def warm(stream: Stream) -> Stream:
    """A proxy that has everything and has accepted it."""
    stream.ask(CLUSTER, "*")
    stream.ask(ENDPOINT, "*")
    settle(stream)
    stream.ask(LISTENER, "*")
    stream.ask(ROUTE, "*")
    settle(stream)
    return stream


def settle(stream: Stream) -> list[str]:
    seen: list[str] = []
    while responses := stream.hear():
        for response in responses:
            seen += brief(response)
            stream.ack(response)
    return seen


def brief(response: Response) -> list[str]:
    kind = {CLUSTER: "C", ENDPOINT: "E", LISTENER: "L", ROUTE: "R"}[response.type_url]
    return [f"{kind} {body.decode()}" for body in response.bodies] + [
        f"{kind} -{name}" for name in response.removed
    ]


def hear(stream: Stream) -> list[str]:
    return [each for response in stream.hear() for each in brief(response)]


def clusters_of(stream: Stream) -> Response:
    """The CDS response that is due, with the assignments behind it."""
    [clusters, *others] = stream.hear()
    assert clusters.type_url == CLUSTER
    for response in others:
        assert response.type_url == ENDPOINT
        stream.ack(response)
    return clusters


def add_b(stream: Stream, *, warming: float = 0.0) -> Response:
    """A new cluster, and a listener and a route that name it; gives the CDS response."""
    stream.publish(
        cluster("b", warming=warming),
        endpoint("b"),
        route("r", "a", "b", content="2"),
        listener("m", "b"),
    )
    return clusters_of(stream)


def test_what_names_a_new_cluster_waits_for_the_answer(warm: Stream) -> None:
    response = add_b(warm)
    assert hear(warm) == []
    warm.ack(response)
    heard = set(hear(warm))
    assert {"R r=2", "L m=1"} <= heard


def test_a_refusal_of_something_else_is_an_answer_too(warm: Stream) -> None:
    response = add_b(warm)
    warm.nack(response, NAMED.format("a"))
    assert "R r=2" in hear(warm)


def test_the_answer_to_a_later_response_is_enough(warm: Stream) -> None:
    add_b(warm)
    warm.now += 1
    warm.publish(cluster("c"))
    later = clusters_of(warm)
    warm.ack(later)
    assert "R r=2" in hear(warm)


def test_the_answer_to_an_earlier_response_is_not_enough(warm: Stream) -> None:
    warm.publish(cluster("c"))
    earlier = clusters_of(warm)
    warm.now += 1
    add_b(warm)
    warm.ack(earlier)
    assert hear(warm) == []


def test_a_new_cluster_that_changes_is_settled_by_the_first_answer(warm: Stream) -> None:
    first = add_b(warm)
    warm.now += 1
    warm.publish(cluster("b", "2"))
    clusters_of(warm)
    warm.ack(first)
    assert "R r=2" in hear(warm)


def test_something_else_of_the_same_name_holds_nothing(warm: Stream) -> None:
    add_b(warm)
    parent = replace(listener("n", "a"), references=frozenset({Key(ROUTE, "b")}))
    warm.publish(parent)
    assert "L n=1" in hear(warm)


def test_a_cluster_that_waits_for_its_turn_is_not_settled_by_the_response_before(
    warm: Stream,
) -> None:
    warm.publish(cluster("c"))
    earlier = clusters_of(warm)
    warm.publish(cluster("b"), route("r", "a", "b", content="2"))
    warm.ack(earlier)
    settled = clusters_of(warm)
    assert hear(warm) == []
    warm.ack(settled)
    assert hear(warm) == ["R r=2"]


def test_without_an_answer_the_wait_ends_after_the_longest_warming(warm: Stream) -> None:
    add_b(warm, warming=3.0)
    assert warm.session.deadline() == 3.0 + PATIENCE
    warm.now = 3.0 + PATIENCE - 0.01
    assert hear(warm) == []
    warm.now = 3.0 + PATIENCE
    assert "R r=2" in settle(warm)
    assert warm.session.deadline() is None


def test_other_resources_do_not_wait(warm: Stream) -> None:
    add_b(warm)
    warm.publish(route("s", "a"), endpoint("a", "2"))
    assert hear(warm) == ["E a=2", "R s=1"]


def test_a_listener_in_full_state_is_sent_as_it_was_while_it_is_held() -> None:
    stream = SotwConversation(RULES, WORLD, drain=DRAIN)
    stream.ask(CLUSTER)
    stream.ask(LISTENER)
    settle(stream)
    version = stream.snapshot.version(LISTENER)
    stream.publish(cluster("b"), listener("l", "b", content="2"), listener("m", "b"))
    response = clusters_of(stream)
    stream.publish(listener("n", "a"))
    [listeners] = stream.hear()
    assert set(listeners.bodies) == {b"l=1", b"n=1"}
    assert listeners.version not in {version, stream.snapshot.version(LISTENER)}
    stream.ack(listeners)
    stream.ack(response)
    [listeners] = stream.hear()
    assert set(listeners.bodies) == {b"l=2", b"m=1", b"n=1"}
    assert listeners.version == stream.snapshot.version(LISTENER)


def test_a_held_resource_follows_further_changes(warm: Stream) -> None:
    response = add_b(warm)
    warm.publish(route("r", "a", "b", content="3"))
    assert hear(warm) == []
    warm.ack(response)
    assert "R r=3" in hear(warm)


def test_a_held_resource_that_no_longer_names_the_cluster_goes(warm: Stream) -> None:
    add_b(warm)
    warm.publish(route("r", "a", content="3"))
    assert Key(ROUTE, "r") not in warm.session.held
    assert hear(warm) == ["R r=3"]


def test_a_held_resource_that_is_removed_is_removed(warm: Stream) -> None:
    response = add_b(warm)
    warm.publish(removed=[Key(LISTENER, "l")])
    assert "L m=1" not in settle(warm)
    warm.publish(removed=[Key(LISTENER, "m")])
    warm.hear()
    warm.ack(response)
    assert "L m=1" not in hear(warm)


def test_what_names_a_refused_cluster_stays_held_until_the_cluster_changes(warm: Stream) -> None:
    warm.nack(add_b(warm), NAMED.format("b"))
    warm.now += 1000
    assert hear(warm) == []
    assert warm.session.deadline() is None
    warm.publish(cluster("b", "2"))
    repaired = clusters_of(warm)
    assert hear(warm) == []
    warm.ack(repaired)
    assert "R r=2" in hear(warm)


def test_a_refused_cluster_that_disappears_does_not_linger(warm: Stream) -> None:
    warm.nack(add_b(warm), NAMED.format("b"))
    warm.publish(removed=[Key(CLUSTER, "b"), Key(ENDPOINT, "b")])
    heard = hear(warm)
    assert "C b=1" not in heard
    assert "R r=2" in heard  # nothing is left to wait for


def test_a_refusal_that_may_be_about_others_settles_like_any_other(warm: Stream) -> None:
    warm.nack(add_b(warm), "Unable to unpack")
    # A state-of-the-world response has all clusters; an incremental one had only this one.
    assert ("R r=2" in hear(warm)) == isinstance(warm, SotwConversation)


def test_clusters_that_are_refused_together_are_settled_one_by_one() -> None:
    stream = DeltaConversation(RULES, WORLD, drain=DRAIN)
    for type_url in (CLUSTER, ENDPOINT, LISTENER, ROUTE):
        stream.ask(type_url, "*")
        settle(stream)
    stream.publish(*(each for name in "bc" for each in (cluster(name), endpoint(name))))
    stream.publish(route("r", "b", content="2"), listener("m", "c"))
    stream.nack(clusters_of(stream), "Unable to unpack")
    assert stream.session.held == {Key(ROUTE, "r"), Key(LISTENER, "m")}
    b = clusters_of(stream)
    assert brief(b) == ["C b=1"]
    stream.ack(b)
    c, *rest = stream.hear()
    assert brief(c) == ["C c=1"]
    assert "R r=2" in [each for response in rest for each in brief(response)]
    stream.nack(c, "Unable to unpack")
    stream.now += 1000
    assert hear(stream) == []
    assert stream.session.held == {Key(LISTENER, "m")}


def test_a_changed_cluster_holds_nothing(warm: Stream) -> None:
    warm.publish(cluster("a", "2"), route("r", "a", content="2"))
    assert hear(warm) == ["C a=2", "E a=1", "R r=2"]


def test_an_unknown_cluster_holds_nothing(warm: Stream) -> None:
    warm.publish(route("r", "nowhere", content="2"))
    assert hear(warm) == ["R r=2"]


def test_a_cluster_that_the_stream_does_not_ask_for_holds_nothing(stream: Stream) -> None:
    stream.ask(CLUSTER, "a")
    stream.ask(ROUTE, "r")
    settle(stream)
    stream.publish(cluster("b"), route("r", "b", content="2"))
    assert hear(stream) == ["R r=2"]


def test_a_client_that_never_asks_for_clusters_is_not_held(stream: Stream) -> None:
    stream.ask(LISTENER, "l")
    stream.ask(ROUTE, "r")
    assert hear(stream) == ["L l=1", "R r=1"]
    stream.now += 5
    stream.publish(cluster("b"), route("r", "b", content="2"), removed=[Key(CLUSTER, "a")])
    assert hear(stream) == ["R r=2"]
    assert stream.session.deadline() is None


def test_dropping_the_interest_in_a_new_cluster_ends_the_wait(warm: Stream) -> None:
    add_b(warm)
    if isinstance(warm, SotwConversation):
        warm.ask(CLUSTER, "a", nonce="stale")
    else:
        warm.ask(CLUSTER, "a", drop=["*"])
    assert "R r=2" in hear(warm)


def test_a_starting_proxy_gets_listeners_when_it_has_answered_its_first_clusters(
    stream: Stream,
) -> None:
    stream.ask(CLUSTER)
    stream.ask(LISTENER)
    response = clusters_of(stream)
    assert hear(stream) == []
    stream.ack(response)
    assert hear(stream) == ["L l=1"]


def test_a_starting_proxy_that_never_answers_gets_listeners_some_day(stream: Stream) -> None:
    stream.publish(cluster("a", "2", warming=3.0))
    stream.ask(CLUSTER)
    stream.ask(LISTENER)
    clusters_of(stream)
    assert stream.session.deadline() == 3.0 + PATIENCE
    stream.now = 3.0 + PATIENCE
    assert hear(stream) == ["L l=1"]


def test_a_refused_first_response_does_not_hold_the_rest(stream: Stream) -> None:
    stream.ask(CLUSTER)
    stream.ask(LISTENER)
    stream.nack(clusters_of(stream), NAMED.format("a"))
    assert hear(stream) == ["L l=1"]


def test_the_answer_to_the_first_response_is_enough_after_a_second_one(stream: Stream) -> None:
    stream.ask(CLUSTER)
    stream.ask(LISTENER)
    first = clusters_of(stream)
    stream.now = 1.0
    stream.publish(cluster("a", "2"))
    clusters_of(stream)
    stream.ack(first)
    assert hear(stream) == ["L l=1"]


def test_a_proxy_without_clusters_waits_for_nothing(stream: Stream) -> None:
    stream.publish(removed=[Key(CLUSTER, "a")])
    stream.ask(CLUSTER)
    stream.ask(LISTENER)
    assert [response.type_url for response in stream.hear()] == [CLUSTER, LISTENER]


def reconnect(stream: Stream, type_url: str, *names: str, held: bool = True) -> None:
    """As a proxy that holds all (or only other things) of this type."""
    if isinstance(stream, SotwConversation):
        version = WORLD.version(type_url) if held else "of another world"
        stream.ask(type_url, *names, version=version)
    else:
        initial = {name: each.version for name, each in WORLD.of_type(type_url).items()}
        stream.ask(type_url, *names, initial=initial if held else {"other": "1"})


def test_a_reconnecting_proxy_hears_of_listeners_after_its_clusters(stream: Stream) -> None:
    stream.publish(listener("l", "a", content="2"))
    reconnect(stream, LISTENER)
    assert hear(stream) == []
    reconnect(stream, CLUSTER, held=False)
    response = clusters_of(stream)
    assert hear(stream) == []
    stream.ack(response)
    assert hear(stream)[0] == "L l=2"


def test_a_reconnecting_proxy_that_has_all_clusters_waits_for_nothing(stream: Stream) -> None:
    stream.publish(listener("l", "a", content="2"))
    reconnect(stream, LISTENER)
    reconnect(stream, CLUSTER)
    assert "L l=2" in hear(stream)


def test_a_cluster_that_goes_before_a_reconnecting_proxy_asks_for_it_lingers(
    stream: Stream,
) -> None:
    reconnect(stream, LISTENER)
    stream.publish(
        cluster("b"),
        endpoint("b"),
        listener("l", "b", content="2"),
        removed=[Key(CLUSTER, "a"), Key(ENDPOINT, "a")],
    )
    reconnect(stream, CLUSTER)
    kept = ["C a=1"] if isinstance(stream, SotwConversation) else []
    assert sorted(settle(stream)) == [*kept, "C b=1", "L l=2"]
    stream.now = DRAIN
    assert hear(stream) == (["C b=1"] if kept else ["C -a"])


def test_of_clusters_that_went_before_only_those_linger_that_are_asked_for(stream: Stream) -> None:
    reconnect(stream, LISTENER)
    stream.publish(cluster("b"), removed=[Key(CLUSTER, "a"), Key(ENDPOINT, "a")])
    reconnect(stream, CLUSTER, "b", held=False)
    assert "C b=1" in settle(stream)
    assert stream.session.deadline() is None


def test_a_reconnecting_proxy_with_named_clusters_may_lack_some(stream: Stream) -> None:
    stream.publish(listener("l", "a", content="2"))
    if isinstance(stream, SotwConversation):
        stream.ask(CLUSTER, "a", version=WORLD.version(CLUSTER))
    else:
        stream.ask(CLUSTER, "a", initial={"other": "1"})
    reconnect(stream, LISTENER)
    response = clusters_of(stream)
    assert hear(stream) == []
    stream.ack(response)
    assert hear(stream)[0] == "L l=2"


def test_a_reconnecting_proxy_that_never_asks_for_clusters_waits_a_while(stream: Stream) -> None:
    stream.publish(cluster("a", "2", warming=1.0), route("r", "a", content="2"))
    reconnect(stream, ROUTE, "r")
    reconnect(stream, ENDPOINT, "a", held=False)
    assert "R r=2" not in hear(stream)
    stream.now = 1.0 + PATIENCE - 0.01
    assert hear(stream) == []
    stream.now = 1.0 + PATIENCE
    assert hear(stream) == ["R r=2"]


def test_a_reconnect_that_drops_the_cluster_it_lacks_waits_no_longer() -> None:
    stream = DeltaConversation(RULES, WORLD.replace({Key(CLUSTER, "b"): cluster("b")}))
    held = {"a": WORLD.of_type(CLUSTER)["a"].version}
    stream.ask(CLUSTER, "a", "b", initial=held)
    stream.ask(ROUTE, "r", initial={"r": "old"})
    stream.ask(CLUSTER, drop=["b"])
    assert hear(stream) == ["R r=1"]


def test_a_first_response_that_is_not_written_for_long_still_comes_first(stream: Stream) -> None:
    stream.ask(CLUSTER)
    stream.ask(LISTENER)
    stream.now = 100.0
    assert hear(stream) == ["C a=1"]


def test_a_reconnect_without_any_cluster_waits_for_nothing(stream: Stream) -> None:
    stream.publish(route("r", "a", content="2"), removed=[Key(CLUSTER, "a")])
    reconnect(stream, ROUTE, "r")
    assert hear(stream) == ["R r=2"]


def drop_a(stream: Stream) -> None:
    """Everything moves from cluster a to cluster b, which is known."""
    stream.publish(cluster("b"), endpoint("b"))
    settle(stream)
    stream.publish(
        route("r", "b", content="2"),
        listener("l", "b", content="2"),
        removed=[Key(CLUSTER, "a"), Key(ENDPOINT, "a")],
    )


def test_a_cluster_that_is_gone_lingers_with_its_assignment(warm: Stream) -> None:
    drop_a(warm)
    assert settle(warm) == ["L l=2", "R r=2"]
    warm.now = DRAIN - 0.01
    assert hear(warm) == []
    assert warm.session.deadline() == DRAIN
    warm.now = DRAIN
    removal = ["C b=1", "E a="] if isinstance(warm, SotwConversation) else ["C -a", "E -a"]
    assert settle(warm) == removal
    assert warm.session.deadline() is None


def test_a_lingering_cluster_is_part_of_the_full_state() -> None:
    stream = SotwConversation(RULES, WORLD, drain=DRAIN)
    stream.ask(CLUSTER)
    settle(stream)
    stream.publish(cluster("b"), removed=[Key(CLUSTER, "a"), Key(ENDPOINT, "a")])
    assert set(clusters_of(stream).bodies) == {b"a=1", b"b=1"}


def test_a_view_without_lingering_has_the_version_of_its_snapshot() -> None:
    stream = SotwConversation(RULES, WORLD, drain=DRAIN)
    stream.ask(CLUSTER)
    settle(stream)
    stream.publish(cluster("b"), removed=[Key(CLUSTER, "a")])
    [clusters] = stream.hear()
    assert clusters.version != stream.snapshot.version(CLUSTER)
    stream.ack(clusters)
    stream.now = DRAIN
    [clusters] = stream.hear()
    assert (clusters.bodies, clusters.version) == ((b"b=1",), stream.snapshot.version(CLUSTER))


def test_a_lingering_assignment_is_served_to_who_asks_again() -> None:
    stream = DeltaConversation(RULES, WORLD, drain=DRAIN)
    stream.ask(CLUSTER)
    settle(stream)
    stream.publish(removed=[Key(CLUSTER, "a"), Key(ENDPOINT, "a")])
    stream.ask(ENDPOINT, "a")
    assert hear(stream) == ["E a=1"]


def test_a_lingering_cluster_may_come_back(warm: Stream) -> None:
    drop_a(warm)
    settle(warm)
    warm.publish(cluster("a", "2"), endpoint("a", "2"), route("r", "a", content="3"))
    heard = hear(warm)  # the proxy has the cluster: nothing waits
    assert "C a=2" in heard
    assert "E a=2" in heard
    assert heard[-1] == "R r=3"
    warm.now = 10 * DRAIN
    settle(warm)
    assert warm.session.deadline() is None


def test_a_cluster_that_comes_back_before_it_was_ever_settled_must_settle_still(
    warm: Stream,
) -> None:
    response = add_b(warm)
    warm.publish(
        route("r", "a"), removed=[Key(LISTENER, "m"), Key(CLUSTER, "b"), Key(ENDPOINT, "b")]
    )
    settle(warm)
    warm.publish(cluster("b"), endpoint("b"), route("s", "b"))
    assert "R s=1" not in hear(warm)
    warm.ack(response)
    assert "R s=1" in hear(warm)


def test_a_cluster_that_comes_back_without_its_assignment_gets_an_empty_one(warm: Stream) -> None:
    drop_a(warm)
    settle(warm)
    warm.publish(cluster("a", "2"))
    assert "E a=" in hear(warm)


def test_an_assignment_that_is_gone_while_its_cluster_lingers_stays_too(warm: Stream) -> None:
    warm.publish(removed=[Key(CLUSTER, "a")])
    warm.publish(removed=[Key(ENDPOINT, "a")])
    assert hear(warm) == []
    warm.publish(endpoint("a", "2"))
    assert hear(warm) == ["E a=2"]


def test_the_clock_of_a_lingering_cluster_starts_when_nothing_held_names_it(warm: Stream) -> None:
    warm.publish(
        cluster("b"),
        route("r", "b", content="2"),
        listener("l", "b", content="2"),
        removed=[Key(CLUSTER, "a")],
    )
    clusters = clusters_of(warm)
    warm.now = 1.5
    warm.ack(clusters)
    assert settle(warm) == ["L l=2", "R r=2"]
    assert warm.session.deadline() == 1.5 + DRAIN


def test_no_cluster_is_removed_before_its_parents_are_accepted() -> None:
    stream = DeltaConversation(RULES, WORLD, drain=0.0)
    stream.ask(CLUSTER)
    settle(stream)
    stream.ask(LISTENER)
    settle(stream)
    stream.publish(listener("l", content="2"), removed=[Key(CLUSTER, "a")])
    [listeners] = stream.hear()
    assert brief(listeners) == ["L l=2"]
    assert stream.session.deadline() == 1.0
    stream.ack(listeners)
    assert hear(stream) == ["C -a"]


def test_a_cluster_is_removed_as_soon_as_nothing_is_left_to_accept(stream: Stream) -> None:
    stream.ask(CLUSTER)
    settle(stream)
    stream.ask(ROUTE, "missing")
    stream.publish(removed=[Key(CLUSTER, "a"), Key(ENDPOINT, "a")])
    assert hear(stream) == []
    stream.now = DRAIN
    stream.session.next_response(stream.now)
    assert stream.session.deadline() is None


def test_a_cluster_that_is_gone_before_it_was_settled_holds_nothing() -> None:
    stream = DeltaConversation(RULES, WORLD, drain=0.0)
    stream.ask(CLUSTER)
    settle(stream)
    stream.ask(ROUTE, "r")
    settle(stream)
    stream.publish(cluster("b"))
    clusters_of(stream)
    stream.publish(removed=[Key(CLUSTER, "b")])
    hear(stream)
    stream.publish(route("r", "b", content="2"))
    assert hear(stream) == ["R r=2"]


def test_the_clock_of_a_lingering_cluster_starts_when_its_last_parent_is_accepted(
    warm: Stream,
) -> None:
    drop_a(warm)
    listeners, routes = warm.hear()
    warm.ack(routes)
    warm.now = 0.5
    warm.ack(listeners)
    assert hear(warm) == []
    assert warm.session.deadline() == 0.5 + DRAIN


def test_a_refused_parent_keeps_what_it_may_still_use(warm: Stream) -> None:
    drop_a(warm)
    listeners, routes = warm.hear()
    warm.nack(listeners, "missing ]")
    warm.ack(routes)
    warm.now = 10 * DRAIN
    assert hear(warm) == []
    assert warm.session.deadline() is None
    warm.publish(listener("l", "b", content="3"))
    assert settle(warm) == ["L l=3"]
    # Only now do the connections of the old listener begin to drain.
    assert warm.session.deadline() == 11 * DRAIN
    warm.now = 11 * DRAIN
    removal = ["C b=1", "E a="] if isinstance(warm, SotwConversation) else ["C -a", "E -a"]
    assert settle(warm) == removal


def test_a_new_cluster_that_was_never_sent_does_not_linger(warm: Stream) -> None:
    warm.publish(cluster("c"))
    clusters = clusters_of(warm)
    warm.publish(cluster("b"))
    warm.publish(removed=[Key(CLUSTER, "b")])
    warm.ack(clusters)
    assert "C b=1" not in hear(warm)


def test_on_a_delta_reconnect_clusters_that_only_the_proxy_knows_linger() -> None:
    stream = DeltaConversation(RULES, WORLD, drain=DRAIN)
    stream.ask(CLUSTER, initial={"a": WORLD.of_type(CLUSTER)["a"].version, "old": "1"})
    assert hear(stream) == []
    assert stream.session.deadline() == DRAIN
    stream.now = DRAIN
    assert hear(stream) == ["C -old"]


def test_after_a_reconnect_they_linger_from_when_the_proxy_may_hear_of_anything_else() -> None:
    stream = DeltaConversation(RULES, WORLD, drain=DRAIN)
    stream.ask(CLUSTER, initial={"old": "1"})
    clusters = clusters_of(stream)
    stream.now = 1.5
    stream.ack(clusters)
    assert hear(stream) == []
    assert stream.session.deadline() == 1.5 + DRAIN


def test_a_cluster_that_only_the_proxy_knew_may_come_back() -> None:
    stream = DeltaConversation(RULES, WORLD, drain=DRAIN)
    initial = {name: each.version for name, each in WORLD.of_type(CLUSTER).items()}
    stream.ask(CLUSTER, initial={**initial, "old": "1"})
    stream.ask(ROUTE, "r")
    settle(stream)
    stream.publish(cluster("old", "2"), route("r", "old", content="2"))
    assert hear(stream) == ["C old=2", "R r=2"]
    stream.now = DRAIN
    assert hear(stream) == []


def test_clusters_that_were_not_asked_for_do_not_linger() -> None:
    stream = DeltaConversation(RULES, WORLD, drain=DRAIN)
    stream.ask(CLUSTER, "a", initial={"a": WORLD.of_type(CLUSTER)["a"].version, "old": "1"})
    stream.ask(ROUTE, "r")
    settle(stream)
    assert stream.session.deadline() is None
    stream.publish(cluster("b"))
    stream.publish(removed=[Key(CLUSTER, "b")])
    assert hear(stream) == []
    assert stream.session.deadline() is None
