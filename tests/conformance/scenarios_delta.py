"""Rules 51 to 69: incremental streams."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from meltemi.testing.resources import ROUTE, cluster, endpoint, listener, plain, route
from meltemi.xds import dialect, wire
from meltemi.xds.dialect import Composed, Delta
from meltemi.xds.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, SECRET, Key, Missing
from meltemi.xds.session import Acked, Nacked, Session
from meltemi.xds.subscription import Subscription
from tests.conformance.client import contents
from tests.conformance.scenario import ALL, DELTA, DELTA_ADS, mutate, nothing, scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pytest

    from meltemi.xds.dialect import TypeState
    from meltemi.xds.release import Release
    from meltemi.xds.resource import TypeRules
    from meltemi.xds.wire import DeltaRequest
    from tests.conformance.scenario import Method, Mutant
    from tests.conformance.world import World


def reading(change: Callable[[DeltaRequest], DeltaRequest]) -> Mutant:
    """A mutant that folds something else than the request into what a delta stream wants."""

    def subscribe(
        original: Method,
        self: Delta,
        state: TypeState,
        request: DeltaRequest,
        view: Release,
        *,
        first: bool,
    ) -> None:
        original(self, state, change(request), view, first=first)

    @wraps(change)
    def mutant(patch: pytest.MonkeyPatch) -> None:
        mutate(patch, Delta, "subscribe", subscribe)

    return mutant


def owing(change: Callable[[TypeState, DeltaRequest, Subscription], None]) -> Mutant:
    """A mutant that changes what a delta stream is owed after a request; ``change`` also gets the
    subscription before it.
    """

    def subscribe(
        original: Method,
        self: Delta,
        state: TypeState,
        request: DeltaRequest,
        view: Release,
        *,
        first: bool,
    ) -> None:
        before = state.subscription
        original(self, state, request, view, first=first)
        change(state, request, before)

    @wraps(change)
    def mutant(patch: pytest.MonkeyPatch) -> None:
        mutate(patch, Delta, "subscribe", subscribe)

    return mutant


def any_nonce_answers_the_last_response(patch: pytest.MonkeyPatch) -> None:
    def answered(
        original: Method, self: Session[Any], state: TypeState, request: Any, now: float
    ) -> Any:
        return original(self, state, request._replace(nonce=state.nonce), now)

    mutate(patch, Session, "_answered", answered)


@scenario(51, variants=DELTA, kills=(any_nonce_answers_the_last_response,))
async def only_the_nonce_of_a_response_answers_it(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.delta(ENDPOINT)
    await stream.ask(ENDPOINT, "a")
    response = await stream.hear()
    await stream.request(ENDPOINT, nonce="of another response", error="not about this one")
    await stream.answer(response)
    await stream.silence()
    said = [event for event in world.status.events if isinstance(event, Acked | Nacked)]
    assert isinstance(said[0], Acked)
    assert said[0].nonce == response.nonce


def every_change_sends_everything(patch: pytest.MonkeyPatch) -> None:
    def compose(original: Method, self: Delta, state: TypeState, view: Release) -> Any:
        state.whole = True
        return original(self, state, view)

    mutate(patch, Delta, "compose", compose)


def resources_carry_the_version_of_their_type(patch: pytest.MonkeyPatch) -> None:
    def encode(original: Method, self: Delta, header: wire.Header, composed: Composed) -> Any:
        stamped = [replace(each, version=header.version) for each in composed.resources]
        return original(self, header, Composed(stamped, composed.changed, composed.about))

    mutate(patch, Delta, "encode", encode)


@scenario(
    52,
    variants=DELTA,
    kills=(every_change_sends_everything, resources_carry_the_version_of_their_type),
)
async def one_change_among_a_hundred_sends_one_resource(world: World) -> None:
    clusters = [cluster(f"c{number}") for number in range(100)]
    world.publish(*clusters)
    stream = await world.open(CLUSTER)
    first = await stream.get(CLUSTER)
    held = dict(zip(first.names, first.versions, strict=True))
    assert held == {each.name: each.version for each in clusters}
    world.publish(cluster("c7", "2"))
    second = await stream.take()
    assert (second.names, second.versions) == (("c7",), (cluster("c7", "2").version,))


def a_stale_request_is_dropped(patch: pytest.MonkeyPatch) -> None:
    def subscribe(
        original: Method,
        self: Session[Any],
        state: TypeState,
        request: Any,
        now: float,
        *,
        first: bool,
    ) -> Any:
        stale = not first and request.nonce not in ("", state.nonce)
        return () if stale else original(self, state, request, now, first=first)

    mutate(patch, Session, "_subscribe", subscribe)


@scenario(53, variants=DELTA, kills=(a_stale_request_is_dropped,))
async def a_stale_request_still_adds_and_drops_names(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.delta(ENDPOINT)
    old = await stream.get(ENDPOINT, "a")
    world.publish(endpoint("a", "2"))
    await stream.take()
    await stream.request(ENDPOINT, ["b"], nonce=old.nonce)
    assert contents(await stream.take()) == {"b": "1"}
    await stream.request(ENDPOINT, [], ["a"], nonce=old.nonce)
    await stream.silence()
    world.publish(endpoint("a", "3"))
    await stream.silence()


@reading
def names_in_an_answer_do_not_count(request: DeltaRequest) -> DeltaRequest:
    return request._replace(subscribe=(), unsubscribe=()) if request.nonce else request


@owing
def empty_lists_drop_everything(state: TypeState, request: DeltaRequest, _: Subscription) -> None:
    if not request.subscribe and not request.unsubscribe:
        state.subscription = Subscription(named=True)


@scenario(54, variants=DELTA, kills=(names_in_an_answer_do_not_count, empty_lists_drop_everything))
async def an_ack_may_add_and_drop_names(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.delta(ENDPOINT)
    await stream.ask(ENDPOINT, "a")
    first = await stream.hear()
    await stream.request(ENDPOINT, ["b"], ["a"], nonce=first.nonce)
    assert contents(await stream.take()) == {"b": "1"}
    await stream.silence()
    world.publish(endpoint("a", "2"))
    await stream.silence()
    world.publish(endpoint("b", "2"))
    assert contents(await stream.take()) == {"b": "2"}


@scenario(54, variants=DELTA, kills=(names_in_an_answer_do_not_count,))
async def a_nack_may_add_and_drop_names(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.delta(ENDPOINT)
    await stream.ask(ENDPOINT, "a")
    first = await stream.hear()
    await stream.request(ENDPOINT, ["b"], ["a"], nonce=first.nonce, error="bad")
    assert contents(await stream.take()) == {"b": "1"}
    world.publish(endpoint("a", "2"))
    await stream.silence()


@owing
def what_was_asked_for_before_is_known(
    state: TypeState, _: DeltaRequest, before: Subscription
) -> None:
    state.dirty -= before.names


@scenario(55, variants=DELTA, kills=(what_was_asked_for_before_is_known,))
async def a_name_that_is_asked_for_again_is_sent_again(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.delta(ENDPOINT)
    await stream.get(ENDPOINT, "a", "b")
    await stream.request(ENDPOINT, ["a"])
    assert contents(await stream.take()) == {"a": "1"}


def absence_is_silence(patch: pytest.MonkeyPatch) -> None:
    def absences(*_: object, **__: object) -> tuple[()]:
        return ()

    patch.setattr(dialect, "_absences", absences)


def absence_is_always_told(patch: pytest.MonkeyPatch) -> None:
    def absences(
        _: TypeRules, names: Iterable[str], *__: object, **___: object
    ) -> list[tuple[str, Missing]]:
        return [(name, Missing.REMOVED) for name in names]

    patch.setattr(dialect, "_absences", absences)


def who_heard_of_an_absence_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    def compose(original: Method, self: Delta, state: TypeState, view: Release) -> Any:
        composed = original(self, state, view)
        if composed is not None:
            state.subscription = state.subscription.amended((), composed.removed, legacy=False)
        return composed

    mutate(patch, Delta, "compose", compose)


@scenario(56, variants=DELTA, kills=(absence_is_silence, who_heard_of_an_absence_is_forgotten))
async def a_name_that_does_not_exist_is_removed_and_remembered(world: World) -> None:
    stream = await world.delta(CLUSTER)
    response = await stream.get(CLUSTER, "later")
    assert (contents(response), response.removed) == ({}, ("later",))
    world.publish(cluster("later"))
    assert contents(await stream.take()) == {"later": "1"}


@scenario(56, variants=(DELTA_ADS,), kills=(absence_is_always_told,))
async def a_route_table_that_does_not_exist_is_remembered_in_silence(world: World) -> None:
    stream = await world.delta(ROUTE)
    await stream.ask(ROUTE, "later")
    await stream.silence()
    world.publish(route("later"))
    assert contents(await stream.take()) == {"later": "1"}


def removals_are_left_out(patch: pytest.MonkeyPatch) -> None:
    def encode(original: Method, self: Delta, header: wire.Header, composed: Composed) -> Any:
        return original(
            self, header, Composed(composed.resources, composed.changed, composed.about)
        )

    mutate(patch, Delta, "encode", encode)


def removals_are_repeated(patch: pytest.MonkeyPatch) -> None:
    def send(
        original: Method, self: Session[Any], state: TypeState, composed: Composed, now: float
    ) -> Any:
        state.dirty.update(composed.removed)
        return original(self, state, composed, now)

    mutate(patch, Session, "_send", send)


@scenario(57, variants=DELTA, kills=(removals_are_left_out, removals_are_repeated))
async def every_subscriber_hears_once_of_what_is_deleted(world: World) -> None:
    world.publish(listener("a"), listener("b"))
    everything = await world.open(LISTENER)
    named = await world.open(LISTENER)
    await everything.get(LISTENER)
    await named.get(LISTENER, "a", "b")
    world.publish(removed=[Key(LISTENER, "a")])
    for stream in (everything, named):
        assert (await stream.take()).removed == ("a",)
        await stream.silence()


@owing
def dropping_is_answered(state: TypeState, request: DeltaRequest, _: Subscription) -> None:
    state.owed = state.owed or bool(request.unsubscribe)


@scenario(58, variants=DELTA, kills=(dropping_is_answered,))
async def dropping_names_is_not_answered(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.delta(ENDPOINT)
    await stream.get(ENDPOINT, "a", "b")
    await stream.request(ENDPOINT, [], ["never asked for"])
    await stream.silence()
    await stream.request(ENDPOINT, [], ["a"])
    await stream.silence()


def nothing_is_not_worth_an_answer(patch: pytest.MonkeyPatch) -> None:
    def subscribe(original: Method, self: Any, state: TypeState, *args: Any, **kwargs: Any) -> None:
        original(self, state, *args, **kwargs)
        state.owed = False

    mutate(patch, Delta, "subscribe", subscribe)
    mutate(patch, dialect.Sotw, "subscribe", subscribe)


@scenario(62, variants=ALL, kills=(nothing_is_not_worth_an_answer,))
async def a_wildcard_is_answered_though_there_is_nothing(world: World) -> None:
    stream = await world.open(CLUSTER)
    response = await stream.get(CLUSTER)
    assert (response.bodies, response.removed) == ((), ())


def clusters_come_without_their_assignments(patch: pytest.MonkeyPatch) -> None:
    def children(*_: object) -> tuple[()]:
        return ()

    patch.setattr(Session, "_children", children)


@scenario(63, variants=(DELTA_ADS,), kills=(clusters_come_without_their_assignments,))
async def the_assignment_of_a_changed_cluster_comes_unasked(world: World) -> None:
    world.publish(cluster("a"), cluster("b"), endpoint("a"), endpoint("b"))
    stream = await world.delta(CLUSTER)
    await stream.get(CLUSTER)
    await stream.get(ENDPOINT, "a", "b")
    world.publish(cluster("a", "2"))
    assert contents(await stream.take()) == {"a": "2"}
    response = await stream.take()
    assert (response.type_url, contents(response)) == (ENDPOINT, {"a": "1"})


@scenario(63, variants=(DELTA_ADS,), kills=(clusters_come_without_their_assignments,))
async def the_assignment_of_a_cluster_comes_again_after_a_reconnect(world: World) -> None:
    world.publish(cluster("a", "2"), endpoint("a"))
    stream = await world.delta(ENDPOINT)
    await stream.resume(ENDPOINT, "a", held={"a": endpoint("a").version})
    await stream.resume(CLUSTER, held={"a": cluster("a").version})
    assert contents(await stream.take()) == {"a": "2"}
    response = await stream.take()
    assert (response.type_url, contents(response)) == (ENDPOINT, {"a": "1"})


@scenario(65, variants=DELTA, kills=(absence_is_always_told,))
async def an_extension_is_never_removed(world: World) -> None:
    await never_removed(world, EXTENSION)


@scenario(65, variants=DELTA, kills=(absence_is_always_told,))
async def a_secret_is_never_removed(world: World) -> None:
    await never_removed(world, SECRET)


async def never_removed(world: World, type_url: str) -> None:
    world.publish(plain(type_url, "a"))
    stream = await world.delta(type_url)
    await stream.get(type_url, "a")
    world.publish(removed=[Key(type_url, "a")])
    await stream.silence()


def what_was_refused_is_due_again(patch: pytest.MonkeyPatch) -> None:
    def nacked(original: Method, self: Session[Any], state: TypeState, *args: Any) -> Any:
        event = original(self, state, *args)
        state.dirty.update(suspect.name for suspect in event.suspects)
        return event

    mutate(patch, Session, "_nacked", nacked)


def an_error_is_not_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wire, "_refusal", nothing)


@scenario(68, variants=DELTA, kills=(what_was_refused_is_due_again, an_error_is_not_read))
async def what_was_refused_is_not_sent_with_the_next_change(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.delta(ENDPOINT)
    await stream.get(ENDPOINT, "a", "b")
    world.publish(endpoint("a", "bad"))
    refused = await stream.hear()
    await stream.answer(refused, "bad endpoints")
    await stream.silence()
    assert refused.nonce in [
        event.nonce for event in world.status.events if isinstance(event, Nacked)
    ]
    world.publish(endpoint("b", "2"))
    assert contents(await stream.take()) == {"b": "2"}
    world.publish(endpoint("a", "good"))
    assert contents(await stream.take()) == {"a": "good"}
