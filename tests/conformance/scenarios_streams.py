"""Rules 1 to 11 and 15: methods, nodes, types and nonces."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc

from meltemi.testing.resources import cluster, endpoint, plain
from meltemi.testing.xds_client import delta_request, sotw_request
from meltemi.xds import wire
from meltemi.xds.dialect import Delta, Sotw
from meltemi.xds.group import Group
from meltemi.xds.resource import CLUSTER, ENDPOINT, SECRET
from meltemi.xds.session import Acked, Session
from meltemi.xds.status import Status
from meltemi.xds.wire import ProtocolError
from tests.conformance.client import FENCE, contents
from tests.conformance.scenario import ADS, DELTA, SINGLE, SOTW, Dialect, mutate, nothing, scenario

if TYPE_CHECKING:
    import pytest

    from meltemi.xds._pb import discovery_pb2 as pb
    from meltemi.xds.dialect import Composed, TypeState
    from meltemi.xds.release import Release
    from meltemi.xds.wire import Header
    from tests.conformance.client import Stream
    from tests.conformance.scenario import Method
    from tests.conformance.world import World

UNKNOWN = "type.googleapis.com/test.Unknown"


# 1: both methods


def delta_streams_are_deaf(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delta, "compose", nothing)


def state_of_the_world_streams_are_deaf(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sotw, "compose", nothing)


@scenario(1, variants=ADS[:1], kills=(delta_streams_are_deaf, state_of_the_world_streams_are_deaf))
async def both_dialects_live_on_one_port(world: World) -> None:
    world.publish(cluster("a"))
    streams = [await world.open(CLUSTER, dialect=each, node=each.value) for each in Dialect]
    for stream in streams:
        assert contents(await stream.get(CLUSTER)) == {"a": "1"}
    world.publish(cluster("a", "2"))
    for stream in streams:
        assert contents(await stream.take()) == {"a": "2"}


# 2: the type of a request


def a_missing_type_is_guessed(patch: pytest.MonkeyPatch) -> None:
    def type_of(original: Method, self: Session[Any], request: Any) -> Any:
        return original(self, request if request.type_url else request._replace(type_url=CLUSTER))

    mutate(patch, Session, "_type_of", type_of)


@scenario(2, variants=ADS, kills=(a_missing_type_is_guessed,))
async def an_aggregated_stream_ends_at_a_request_without_type(world: World) -> None:
    world.publish(cluster("a"))
    first, later = await world.open(CLUSTER), await world.open(CLUSTER)
    await later.get(CLUSTER)
    for stream in (first, later):
        await stream.ask("")
        code, details = await stream.end()
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "type_url" in details


def a_service_does_not_know_its_type(patch: pytest.MonkeyPatch) -> None:
    def type_of(original: Method, self: Any, request: Any) -> str:
        if not request.type_url:
            raise ProtocolError("which type?")
        return str(original(self, request))

    mutate(patch, Session, "_type_of", type_of)


@scenario(2, variants=SINGLE, kills=(a_service_does_not_know_its_type,))
async def a_service_of_one_type_assumes_it(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    await stream.ask("", "a")
    response = await stream.hear()
    assert (response.type_url, contents(response)) == (ENDPOINT, {"a": "1"})


def a_service_serves_any_type(patch: pytest.MonkeyPatch) -> None:
    def type_of(_: Session[Any], request: Any) -> Any:
        return request.type_url

    patch.setattr(Session, "_type_of", type_of)


@scenario(2, variants=SINGLE, kills=(a_service_serves_any_type,))
async def a_service_of_one_type_refuses_others(world: World) -> None:
    stream = await world.open(ENDPOINT)
    await stream.ask(CLUSTER)
    assert (await stream.end())[0] is grpc.StatusCode.INVALID_ARGUMENT


# 3 to 5: the node


def every_request_must_carry_the_node(patch: pytest.MonkeyPatch) -> None:
    def check(self: Any, request: Any) -> None:
        if not request.node_id:
            raise ProtocolError("who are you?")

    patch.setattr(Session, "_check_node", check)


@scenario(3, kills=(every_request_must_carry_the_node,))
async def the_node_comes_with_the_first_request_only(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT, node="the-proxy")
    await stream.get(ENDPOINT, "a")
    assert contents(await stream.get(ENDPOINT, "a", "b")) == {"b": "1"}
    assert [node.id for node in world.nodes] == ["the-proxy"]


@scenario(3, variants=ADS, kills=(every_request_must_carry_the_node,))
async def the_node_comes_with_whatever_type_is_first(world: World) -> None:
    world.publish(cluster("a"), endpoint("a"))
    stream = await world.open(ENDPOINT, node="the-proxy")
    await stream.get(ENDPOINT, "a")
    await stream.get(CLUSTER)
    assert [node.id for node in world.nodes] == ["the-proxy"]


def the_nameless_are_served(patch: pytest.MonkeyPatch) -> None:
    def node(original: Method, message: pb.Node) -> Any:
        message.id = message.id or "anonymous"
        return original(message)

    mutate(patch, wire, "_node", node)


@scenario(4, kills=(the_nameless_are_served,))
async def a_first_request_without_node_ends_the_stream_and_leaves_nothing(world: World) -> None:
    stream = await world.open(CLUSTER, node="")
    await stream.ask(CLUSTER)
    code, details = await stream.end()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "node.id" in details
    assert (len(world.group), world.nodes, world.status.streams()) == (0, [], ())


def the_node_may_change(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Session, "_check_node", nothing)


@scenario(5, kills=(the_node_may_change,))
async def another_node_ends_the_stream(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT, node="me")
    await stream.get(ENDPOINT, "a")
    await introduce(stream, "somebody-else")
    assert (await stream.end())[0] in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
    )


def the_node_may_not_be_repeated(patch: pytest.MonkeyPatch) -> None:
    def check(original: Method, self: Any, request: Any) -> None:
        if request.node_id and self._states:
            raise ProtocolError("you said so")
        original(self, request)

    mutate(patch, Session, "_check_node", check)


@scenario(5, kills=(the_node_may_not_be_repeated,))
async def the_same_node_may_be_repeated(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT, node="me")
    await stream.get(ENDPOINT, "a")
    await introduce(stream, "me")
    assert contents(await stream.get(ENDPOINT, "a", "b")) == {"b": "1"}


async def introduce(stream: Stream, node: str) -> None:
    """The request of an ACK, with a node."""
    talk = stream.talk(ENDPOINT)
    sotw = sotw_request(ENDPOINT, talk.names, version=talk.version, nonce=talk.nonce, node=node)
    delta = delta_request(ENDPOINT, nonce=talk.nonce, node=node)
    await stream.say(sotw if stream.dialect is Dialect.SOTW else delta)


# 6: types are streams of their own


def types_wait_for_each_other(patch: pytest.MonkeyPatch) -> None:
    def blocked(self: Any, _: TypeState) -> bool:
        return any(state.release_at is not None for state in self._states.values())

    patch.setattr(Session, "_blocked", blocked)


@scenario(6, variants=ADS, kills=(types_wait_for_each_other,))
async def endpoints_are_answered_before_clusters_are_accepted(world: World) -> None:
    world.publish(cluster("a"), endpoint("a"))
    stream = await world.open(CLUSTER)
    await stream.ask(CLUSTER)
    clusters = await stream.hear()
    assert contents(await stream.get(ENDPOINT, "a")) == {"a": "1"}
    await stream.answer(clusters)
    await stream.silence()
    assert [event.type_url for event in acks(world)] == [ENDPOINT, CLUSTER, FENCE]


def a_nonce_answers_any_type(patch: pytest.MonkeyPatch) -> None:
    def answered(original: Method, self: Any, _: TypeState, request: Any, now: float) -> Any:
        states = self._states.values()
        owner = next((each for each in states if request.nonce in each.unanswered), _)
        return original(self, owner, request, now)

    mutate(patch, Session, "_answered", answered)


@scenario(6, variants=ADS, kills=(a_nonce_answers_any_type,))
async def a_nonce_of_another_type_answers_nothing(world: World) -> None:
    world.publish(cluster("a"), plain(SECRET, "s"))
    stream = await world.open(CLUSTER)
    await stream.get(SECRET, "s")
    await stream.ask(CLUSTER)
    clusters = await stream.hear()
    await stream.answer(replace(clusters, type_url=SECRET))
    await stream.silence()
    assert [event.type_url for event in acks(world)] == [SECRET, FENCE]


def acks(world: World) -> list[Acked]:
    return [event for event in world.status.events if isinstance(event, Acked)]


# 7: nonces die with their stream


def an_unknown_nonce_is_stale(patch: pytest.MonkeyPatch) -> None:
    def subscribe(
        original: Method, self: Any, state: Any, request: Any, now: float, *, first: bool
    ) -> Any:
        if first and request.nonce:
            return ()
        return original(self, state, request, now, first=first)

    mutate(patch, Session, "_subscribe", subscribe)


@scenario(7, variants=SOTW, kills=(an_unknown_nonce_is_stale,))
async def a_nonce_of_an_earlier_stream_makes_an_initial_request(world: World) -> None:
    world.publish(endpoint("a"))
    old = await world.sotw(ENDPOINT)
    before = await old.get(ENDPOINT, "a")
    new = await world.sotw(ENDPOINT)
    await new.request(ENDPOINT, ["a"], version=before.version, nonce=before.nonce)
    assert contents(await new.hear()) == {"a": "1"}


@scenario(7, variants=DELTA, kills=(an_unknown_nonce_is_stale,))
async def a_nonce_of_an_earlier_delta_stream_makes_an_initial_request(world: World) -> None:
    world.publish(endpoint("a"))
    old = await world.delta(ENDPOINT)
    before = await old.get(ENDPOINT, "a")
    new = await world.delta(ENDPOINT)
    await new.request(ENDPOINT, ["a"], nonce=before.nonce)
    assert contents(await new.hear()) == {"a": "1"}


# 8 and 9: what every response has


def nonces_repeat(patch: pytest.MonkeyPatch) -> None:
    def send(original: Method, self: Any, *args: Any) -> Any:
        self._number = 0
        return original(self, *args)

    mutate(patch, Session, "_send", send)


def a_response_lacks_its_type(patch: pytest.MonkeyPatch) -> None:
    def encode(original: Method, self: Any, header: Header, composed: Composed) -> Any:
        return original(self, header._replace(type_url=""), composed)

    for dialect in (Sotw, Delta):
        mutate(patch, dialect, "encode", encode)


def a_response_lacks_its_nonce(patch: pytest.MonkeyPatch) -> None:
    def encode(original: Method, self: Any, header: Header, composed: Composed) -> Any:
        return original(self, header._replace(nonce=""), composed)

    for dialect in (Sotw, Delta):
        mutate(patch, dialect, "encode", encode)


@scenario(8, kills=(nonces_repeat, a_response_lacks_its_type, a_response_lacks_its_nonce))
async def a_response_has_a_new_nonce_and_the_type_of_its_resources(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    heard = [await stream.get(ENDPOINT, "a"), await stream.get(ENDPOINT, "a", "b", "missing")]
    for content in "234":
        world.publish(endpoint("a", content), endpoint("b", content))
        heard.append(await stream.take())
    nonces = [response.nonce for response in heard]
    assert all(nonces)
    assert len(set(nonces)) == len(nonces)
    assert {response.type_url for response in heard} == {ENDPOINT}
    assert {response.resource_types for response in heard} == {frozenset({ENDPOINT})}


def each_type_counts_its_nonces(patch: pytest.MonkeyPatch) -> None:
    def send(original: Method, self: Any, state: TypeState, *args: Any) -> Any:
        self._number = int(state.nonce or 0)
        return original(self, state, *args)

    mutate(patch, Session, "_send", send)


@scenario(8, variants=ADS, kills=(each_type_counts_its_nonces,))
async def nonces_differ_between_the_types_of_a_stream(world: World) -> None:
    world.publish(cluster("a"), endpoint("a"))
    stream = await world.open(CLUSTER)
    clusters, endpoints = await stream.get(CLUSTER), await stream.get(ENDPOINT, "a")
    assert clusters.nonce != endpoints.nonce


def a_name_is_due_for_each_reason(patch: pytest.MonkeyPatch) -> None:
    def compose(original: Method, self: Any, state: TypeState, view: Release) -> Any:
        composed = original(self, state, view)
        twice = (*composed.resources, *composed.resources) if composed else ()
        return composed and replace(composed, resources=twice)

    mutate(patch, Sotw, "compose", compose)
    mutate(patch, Delta, "compose", compose)


@scenario(9, kills=(a_name_is_due_for_each_reason,))
async def a_name_asked_for_twice_and_changed_comes_once(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    await stream.ask(ENDPOINT, "*", "a", "a")
    first = await stream.hear()
    assert len(first.bodies) == 1
    world.publish(endpoint("a", "2"))
    world.publish(endpoint("a", "3"))
    await stream.ask(ENDPOINT, "*", "a", "b", "a")
    await stream.answer(first)
    names = [body.partition(b"=")[0] for body in (await stream.hear()).bodies]
    assert names.count(b"a") == 1


# 10 and 11: types that nobody serves


def an_unknown_type_ends_the_stream(patch: pytest.MonkeyPatch) -> None:
    def type_of(original: Method, self: Any, request: Any) -> Any:
        if original(self, request) not in self._rules:
            raise ProtocolError("what is that?")
        return original(self, request)

    mutate(patch, Session, "_type_of", type_of)


@scenario(10, variants=ADS, kills=(an_unknown_type_ends_the_stream,))
async def a_type_that_is_not_served_disturbs_nobody(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    await stream.ask(UNKNOWN, "x")
    await stream.silence()
    world.publish(cluster("a", "2"), plain(UNKNOWN, "x"))
    assert contents(await stream.take()) == {"a": "2"}
    await stream.silence()


def only_a_streams_first_request_is_initial(patch: pytest.MonkeyPatch) -> None:
    def receive(original: Method, self: Any, *args: Any) -> Any:
        self.received = getattr(self, "received", 0) + 1
        return original(self, *args)

    def subscribe(original: Method, self: Any, *args: Any, first: bool) -> Any:
        return original(self, *args, first=first and self.received == 1)

    mutate(patch, Session, "receive", receive)
    mutate(patch, Session, "_subscribe", subscribe)


@scenario(11, variants=ADS, kills=(only_a_streams_first_request_is_initial,))
async def a_probe_before_the_first_request_is_not_the_first_request(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.open(CLUSTER)
    await stream.ask(UNKNOWN)
    assert contents(await stream.get(CLUSTER)) == {"a": "1"}


# 15: the end


def a_group_forgets_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Group, "remove", nothing)


def the_status_forgets_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Status, "closed", nothing)


@scenario(15, kills=(a_group_forgets_nobody, the_status_forgets_nobody))
async def a_client_that_has_no_more_to_say_is_served_and_forgotten(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.open(CLUSTER)
    await stream.ask(CLUSTER)
    await stream.close()
    assert contents(await stream.hear()) == {"a": "1"}
    assert (await stream.end())[0] is grpc.StatusCode.OK
    await world.status.ended.wait()
    assert (len(world.group), world.status.streams()) == (0, ())
