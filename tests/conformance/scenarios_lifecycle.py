"""Rules 74 to 85: order, and how streams begin and end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from meltemi.testing.resources import ROUTE, cluster, endpoint, listener, plain, route
from meltemi.xds import session, wire
from meltemi.xds.dialect import Delta, Sotw, TypeState
from meltemi.xds.limits import Limits
from meltemi.xds.release import Release
from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    RUNTIME,
    SECRET,
    Key,
    Resource,
)
from meltemi.xds.server import AdsServer, Refused
from meltemi.xds.session import ANSWER_TIMEOUT, Session
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.stream import Stream
from tests.conformance.client import contents
from tests.conformance.scenario import ADS, DELTA, SOTW, mutate, nothing, scenario
from tests.conformance.scenarios_delta import absence_is_silence
from tests.conformance.world import DRAIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

    from meltemi.testing.xds_client import Response
    from tests.conformance import client
    from tests.conformance.scenario import Method
    from tests.conformance.world import World


def nothing_is_held(patch: pytest.MonkeyPatch) -> None:
    def unsettled(*_: object) -> bool:
        return False

    patch.setattr(Release, "_unsettled", unsettled)


def nothing_lingers(patch: pytest.MonkeyPatch) -> None:
    def leave(*_: object) -> bool:
        return True

    patch.setattr(Release, "_leave", leave)


def refusals_do_not_keep_clusters(patch: pytest.MonkeyPatch) -> None:
    def quiet(self: Any) -> Any:
        return self._release.lingering

    patch.setattr(Session, "_quiet", property(quiet))


async def proxy(world: World) -> client.Stream:
    """A client that has everything: a listener and routes that lead to cluster ``a``."""
    world.publish(cluster("a"), endpoint("a"), listener("l", "a"), route("r", "a"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    await stream.get(ENDPOINT, "a")
    await stream.get(LISTENER)
    await stream.get(ROUTE, "r")
    return stream


def move_to_b(world: World) -> None:
    """Cluster ``b`` takes the place of ``a``, for the listener and the routes."""
    world.publish(
        route("r", "b", content="2"),
        listener("l", "b", content="2"),
        cluster("b"),
        endpoint("b"),
        removed=[Key(CLUSTER, "a"), Key(ENDPOINT, "a")],
    )


def takes_a_away(response: Response) -> bool:
    """Whether a response about clusters ends cluster ``a``, in either dialect."""
    held = contents(response)
    return "a" in response.removed or ("b" in held and "a" not in held and not response.names)


@scenario(74, variants=ADS, kills=(nothing_is_held, nothing_lingers))
async def a_move_makes_before_it_breaks(world: World) -> None:
    stream = await proxy(world)
    move_to_b(world)
    made = await stream.hear()
    assert (made.type_url, contents(made)["b"], takes_a_away(made)) == (CLUSTER, "1", False)
    await stream.ask(ENDPOINT, "a", "b")
    assert contents(await stream.take()) == {"b": "1"}
    await stream.silence()  # the proxy may still be warming the cluster
    await stream.answer(made)
    assert contents(await stream.take()) == {"l": "2"}
    assert contents(await stream.take()) == {"r": "2"}
    await stream.silence()
    world.advance(DRAIN)
    assert takes_a_away(await stream.take())


@scenario(75, variants=ADS, kills=(nothing_lingers, refusals_do_not_keep_clusters))
async def a_cluster_stays_while_the_move_away_from_it_is_refused(world: World) -> None:
    stream = await proxy(world)
    move_to_b(world)
    made = await stream.hear()
    assert not takes_a_away(made)
    await stream.ask(ENDPOINT, "a", "b")
    await stream.take()
    await stream.answer(made)
    assert contents(await stream.take()) == {"l": "2"}
    await stream.answer(await stream.hear(), "bad routes")
    world.advance(2 * DRAIN)
    await stream.silence()
    world.publish(route("r", "b", content="3"))
    assert contents(await stream.take()) == {"r": "3"}
    await stream.silence()  # what uses it has only now begun to drain
    world.advance(DRAIN)
    assert takes_a_away(await stream.take())


def the_last_type_is_sent_first(patch: pytest.MonkeyPatch) -> None:
    def first_due(original: Method, self: Any, now: float) -> Any:
        self._rules = dict(reversed(self._rules.items()))
        try:
            return original(self, now)
        finally:
            self._rules = dict(reversed(self._rules.items()))

    mutate(patch, Session, "_first_due", first_due)


def one_of_each_type(content: str) -> Iterable[Resource]:
    yield route("x", "x", content=content)
    yield plain(EXTENSION, "x", content)
    yield listener("x", "x", content=content)
    yield endpoint("x", content)
    yield cluster("x", content)
    yield plain(SECRET, "x", content)
    yield plain(RUNTIME, "x", content)


@scenario(76, variants=ADS, kills=(the_last_type_is_sent_first,))
async def what_changes_at_once_comes_in_the_order_of_types(world: World) -> None:
    order = (RUNTIME, SECRET, CLUSTER, ENDPOINT, LISTENER, EXTENSION, ROUTE)
    world.publish(*one_of_each_type("1"))
    stream = await world.open(CLUSTER)
    for type_url in order:
        await stream.get(type_url, "x")
    world.publish(*one_of_each_type("2"))
    heard = [await stream.take() for _ in order]
    assert [response.type_url for response in heard] == list(order)


ROUNDS = 10


@scenario(77, variants=ADS, kills=(nothing_is_held,))
async def the_order_holds_while_changes_never_cease(world: World) -> None:
    def turn(number: int) -> None:
        name = f"c{number}"
        world.publish(cluster(name), route("r", name, content=name))

    stream = await proxy(world)
    accepted: set[str] = set()
    number, last = 0, ""
    turn(number)
    while last != f"c{ROUNDS}":
        response = await stream.hear()
        if number < ROUNDS:
            number += 1
            turn(number)
        if response.type_url == ROUTE:
            last = contents(response)["r"]
            assert last in accepted
        else:
            await stream.silence()  # whatever names these clusters waits for the answer
            accepted |= contents(response).keys()
        await stream.answer(response)


def a_dropped_name_stays_due(patch: pytest.MonkeyPatch) -> None:
    def considered(original: Method, self: TypeState, table: Any) -> list[str]:
        return sorted({*original(self, table), *self.dirty})

    mutate(patch, TypeState, "considered", considered)


@scenario(77, variants=DELTA, kills=(a_dropped_name_stays_due,))
async def a_name_that_is_dropped_in_time_is_not_sent(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.delta(ENDPOINT)
    await stream.ask(ENDPOINT, "a")
    first = await stream.hear()
    await stream.ask(ENDPOINT, "a", "b")
    await stream.ask(ENDPOINT, "a")
    await stream.answer(first)
    await stream.silence()


@scenario(77, variants=SOTW, kills=(a_dropped_name_stays_due,))
async def a_name_that_the_next_list_lacks_is_not_sent(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.sotw(ENDPOINT)
    await stream.ask(ENDPOINT, "a")
    first = await stream.hear()
    await stream.request(ENDPOINT, ["a", "b"])
    await stream.request(ENDPOINT, ["a"])
    await stream.answer(first)
    await stream.silence()


def no_answer_is_waited_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "ANSWER_TIMEOUT", 0.0)


def an_answer_is_waited_for_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "ANSWER_TIMEOUT", 1e6)


@scenario(78, variants=ADS, kills=(no_answer_is_waited_for,))
async def only_the_newest_state_follows_an_answer(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    await stream.ask(ENDPOINT, "a")
    first = await stream.hear()
    world.publish(endpoint("a", "2"))
    await stream.silence()
    world.publish(endpoint("a", "3"))
    await stream.silence()
    await stream.answer(first)
    assert contents(await stream.take()) == {"a": "3"}
    await stream.silence()


@scenario(78, kills=(an_answer_is_waited_for_for_ever,))
async def a_client_that_does_not_answer_gets_the_next_state_a_little_later(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    await stream.ask(ENDPOINT, "a")
    await stream.hear()
    world.publish(endpoint("a", "2"))
    world.advance(ANSWER_TIMEOUT)
    assert contents(await stream.hear()) == {"a": "2"}


def streams_are_served_before_there_is_anything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AdsServer, "_require_ready", nothing)


@scenario(79, kills=(streams_are_served_before_there_is_anything,))
async def nobody_is_served_before_the_configuration_is_complete(world: World) -> None:
    world.server.ready = False
    early = await world.open(CLUSTER)
    assert (await early.end())[0] is grpc.StatusCode.UNAVAILABLE
    world.publish(cluster("a"))
    world.server.ready = True
    assert contents(await (await world.open(CLUSTER)).get(CLUSTER)) == {"a": "1"}


def what_is_due_is_dropped_at_the_end(patch: pytest.MonkeyPatch) -> None:
    def finish(self: Stream) -> None:
        self.fail(Refused(grpc.StatusCode.UNAVAILABLE, "at once"))

    patch.setattr(Stream, "finish", finish)


def a_stream_may_end_without_a_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Stream, "retire", Stream.finish)


@scenario(80, kills=(what_is_due_is_dropped_at_the_end,))
async def what_is_due_is_sent_before_a_stream_ends(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, "a")
    world.publish(endpoint("a", "2"))
    for each in world.group:
        each.finish()
    assert contents(await stream.hear()) == {"a": "2"}
    assert (await stream.end())[0] is grpc.StatusCode.OK


@scenario(80, kills=(a_stream_may_end_without_a_word,))
async def a_stream_whose_time_has_come_first_says_something(world: World) -> None:
    stream = await world.open(SECRET)
    await stream.ask(SECRET, "later")
    for each in world.group:
        each.retire()
    await stream.ask(SECRET, "later", "never")  # it still listens
    world.publish(plain(SECRET, "later"))
    assert contents(await stream.hear()) == {"later": "1"}
    assert (await stream.end())[0] is grpc.StatusCode.OK


def every_refusal_looks_alike(patch: pytest.MonkeyPatch) -> None:
    def init(original: Method, self: Refused, _: grpc.StatusCode, message: str) -> None:
        original(self, grpc.StatusCode.UNAVAILABLE, message)

    mutate(patch, Refused, "__init__", init)


@scenario(81, kills=(every_refusal_looks_alike,))
async def a_stream_without_identity_and_one_with_a_wrong_one_are_told_apart(world: World) -> None:
    for code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        world.refusal = Refused(code, "not you")
        stream = await world.open(CLUSTER)
        await stream.ask(CLUSTER)
        assert await stream.end() == (code, "not you")


def names_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    def names(_: object) -> int:
        return 0

    patch.setattr(Session, "names", property(names))


@scenario(81, variants=ADS, kills=(names_are_not_counted,))
async def a_stream_that_asks_for_too_much_is_told_so(world: World) -> None:
    stream = await world.open(SECRET)
    await stream.ask(SECRET, *map(str, range(Limits().names + 1)))
    assert (await stream.end())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


def a_request_for_less_than_there_is_stays_open(patch: pytest.MonkeyPatch) -> None:
    def compose(original: Method, self: Any, state: TypeState, view: Release) -> Any:
        there = view.of_type(state.rules.type_url)
        return original(self, state, view) if state.subscription.names >= there.keys() else None

    mutate(patch, Sotw, "compose", compose)
    mutate(patch, Delta, "compose", compose)


@scenario(82, kills=(a_request_for_less_than_there_is_stays_open,))
async def some_of_what_there_is_may_be_asked_for(world: World) -> None:
    world.publish(*map(endpoint, ("a", "b", "c")), *map(listener, ("a", "b", "c")))
    stream = await world.open(ENDPOINT)
    assert contents(await stream.get(ENDPOINT, "b")) == {"b": "1"}
    other = await world.open(LISTENER)
    assert contents(await other.get(LISTENER, "b", "c")) == {"b": "1", "c": "1"}


NAMED = StringValue(value="a").SerializeToString()
FROM_THE_FUTURE = NAMED + b"\xa2\x06\x06future"
"""A field with the number 100."""


def resources_are_read_and_written_anew(patch: pytest.MonkeyPatch) -> None:
    def known(resource: Resource) -> Resource:
        name = StringValue.FromString(resource.body).value
        return replace(resource, body=StringValue(value=name).SerializeToString())

    def replaced(original: Method, self: Snapshot, changes: Mapping[Key, Resource]) -> Any:
        return original(self, {key: known(resource) for key, resource in changes.items()})

    mutate(patch, Snapshot, "replace", replaced)


@scenario(83, kills=(resources_are_read_and_written_anew,))
async def a_field_that_nobody_knows_yet_passes(world: World) -> None:
    world.publish(Resource(ENDPOINT, "a", "1", FROM_THE_FUTURE))
    stream = await world.open(ENDPOINT)
    assert (await stream.get(ENDPOINT, "a")).bodies == (FROM_THE_FUTURE,)


def nobody_has_sent_this(patch: pytest.MonkeyPatch) -> None:
    def header(type_url: str, version: str, nonce: str, _: str) -> wire.Header:
        return wire.Header(type_url, version, nonce, "")

    patch.setattr(session, "Header", header)


@scenario(84, kills=(nobody_has_sent_this,))
async def every_response_says_who_sent_it(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.open(CLUSTER)
    assert (await stream.get(CLUSTER)).identifier == "meltemi"
    world.publish(cluster("a", "2"))
    assert (await stream.take()).identifier == "meltemi"


@scenario(85, variants=DELTA, kills=(absence_is_silence,))
async def what_is_asked_for_on_demand_is_found_or_not_at_once(world: World) -> None:
    world.publish(cluster("there"), cluster("elsewhere"))
    stream = await world.delta(CLUSTER)
    found = await stream.get(CLUSTER, "there")
    assert (contents(found), found.removed) == ({"there": "1"}, ())
    missing = await stream.get(CLUSTER, "there", "nowhere")
    assert (contents(missing), missing.removed) == ({}, ("nowhere",))
