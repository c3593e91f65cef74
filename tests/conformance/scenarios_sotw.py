"""Rules 21 to 29: versions, late requests and lists of names. Most hold for both dialects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meltemi.testing.resources import cluster, endpoint, listener
from meltemi.testing.xds_client import sotw_request
from meltemi.xds.dialect import Delta, Sotw, TypeState
from meltemi.xds.release import Release
from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
)
from meltemi.xds.session import Acked, Nacked, Session
from meltemi.xds.snapshot import Snapshot
from tests.conformance.client import contents
from tests.conformance.scenario import (
    ADS,
    SOTW,
    Dialect,
    mutate,
    scenario,
)
from tests.conformance.world import World

if TYPE_CHECKING:
    import pytest

    from meltemi.xds.subscription import Subscription
    from tests.conformance.scenario import Method

DIALECTS = (Sotw, Delta)


# 21 and 22: versions


def a_version_belongs_to_a_stream(patch: pytest.MonkeyPatch) -> None:
    def version(original: Method, self: Any, type_url: str) -> str:
        return f"{original(self, type_url)}-{id(self)}"

    mutate(patch, Release, "version", version)


def a_version_counts_resources(patch: pytest.MonkeyPatch) -> None:
    def version(self: Snapshot, type_url: str, *_: object) -> str:
        return str(len(self.of_type(type_url)))

    patch.setattr(Snapshot, "version", version)


@scenario(21, kills=(a_version_belongs_to_a_stream, a_version_counts_resources))
async def streams_see_one_version_for_one_content(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    first, second = await world.open(ENDPOINT), await world.open(ENDPOINT, node="another")
    before = (await first.get(ENDPOINT, "a")).version
    assert (await second.get(ENDPOINT, "b")).version == before
    world.publish(endpoint("a", "2"), endpoint("b", "2"))
    after = (await first.take()).version
    assert (await second.take()).version == after
    assert after != before


@scenario(22, kills=(a_version_counts_resources,))
async def two_servers_have_one_version_for_one_content_only(world: World) -> None:
    versions: list[str] = []
    for content in ("old", "new", "old"):
        async with World(world.variant, world.patience).serving() as replica:
            replica.publish(cluster("b"), cluster("a"), cluster("a", content))
            versions.append((await (await replica.open(CLUSTER)).get(CLUSTER)).version)
    old, new, again = versions
    assert new != old == again


# 23 and 24: requests that are too late


def any_nonce_is_an_answer(patch: pytest.MonkeyPatch) -> None:
    def answered(original: Method, self: Any, state: TypeState, request: Any, now: float) -> Any:
        return original(self, state, request._replace(nonce=state.nonce), now)

    mutate(patch, Session, "_answered", answered)


@scenario(23, variants=ADS, kills=(any_nonce_is_an_answer,))
async def an_old_nonce_answers_nothing(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    first = await stream.get(ENDPOINT, "a")
    world.publish(endpoint("a", "2"))
    second = await stream.hear()
    world.publish(endpoint("a", "3"))
    await stream.reply(ENDPOINT, first.nonce)
    await stream.reply(ENDPOINT, first.nonce, "too late")
    await stream.silence()
    await stream.answer(second)
    assert contents(await stream.take()) == {"a": "3"}
    said = [event for event in world.status.events if event.type_url == ENDPOINT]
    assert [type(event) for event in said if isinstance(event, Acked | Nacked)] == [Acked] * 3


def an_old_nonce_is_an_initial_request(patch: pytest.MonkeyPatch) -> None:
    def subscribe(original: Method, self: Any, *args: Any, first: bool) -> Any:
        state, request, _ = args
        return original(self, *args, first=first or request.nonce != state.nonce)

    mutate(patch, Session, "_subscribe", subscribe)


@scenario(23, variants=SOTW, kills=(an_old_nonce_is_an_initial_request,))
async def a_request_that_repeats_an_old_nonce_is_met_with_silence(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    first = await stream.get(ENDPOINT, "a")
    world.publish(endpoint("a", "2"))
    await stream.take()
    await stream.reply(ENDPOINT, first.nonce)
    await stream.silence()


def an_old_nonce_says_nothing(patch: pytest.MonkeyPatch) -> None:
    def subscribe(original: Method, self: Any, *args: Any, first: bool) -> Any:
        state, request, _ = args
        stale = request.nonce not in ("", state.nonce) and not first
        return () if stale else original(self, *args, first=first)

    mutate(patch, Session, "_subscribe", subscribe)


@scenario(24, kills=(an_old_nonce_says_nothing,))
async def the_names_in_a_late_request_count(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    first = await stream.get(ENDPOINT, "a")
    world.publish(endpoint("a", "2"))
    await stream.take()
    await stream.reply(ENDPOINT, first.nonce, adds=["b"])
    assert contents(await stream.take()) == {"b": "1"}
    await stream.reply(ENDPOINT, first.nonce, drops=["a"])
    world.publish(endpoint("a", "3"))
    await stream.silence()


@scenario(24, kills=(an_old_nonce_says_nothing,))
async def names_that_cross_a_response_are_answered_once_it_is(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    first = await stream.get(ENDPOINT, "a")
    world.publish(endpoint("a", "2"))
    await stream.reply(ENDPOINT, first.nonce, adds=["b"])
    assert contents(await stream.take()) == {"a": "2"}
    assert contents(await stream.take()) == {"b": "1"}
    await stream.silence()


# 25 to 29: names


def after_the_first_request(patch: pytest.MonkeyPatch, then: Method) -> None:
    """For mutants that misread the names of later requests."""

    def subscribe(
        original: Method, self: Any, state: TypeState, request: Any, view: Release, *, first: bool
    ) -> None:
        before = state.subscription
        original(self, state, request, view, first=first)
        if not first:
            then(state, before, view)

    for each in DIALECTS:
        mutate(patch, each, "subscribe", subscribe)


def new_names_wait_for_a_change(patch: pytest.MonkeyPatch) -> None:
    def wait(state: TypeState, *_: object) -> None:
        state.dirty.clear()

    after_the_first_request(patch, wait)


@scenario(25, kills=(new_names_wait_for_a_change,))
async def a_new_name_is_answered_at_an_unchanged_version(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    first = await stream.get(ENDPOINT, "a")
    second = await stream.get(ENDPOINT, "a", "b")
    assert (contents(second), second.version) == ({"b": "1"}, first.version)


@scenario(25, kills=(new_names_wait_for_a_change,))
async def a_name_that_came_by_the_wildcard_is_answered_when_it_is_asked_for(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    assert contents(await stream.get(CLUSTER, "*")) == {"a": "1", "b": "1"}
    assert contents(await stream.get(CLUSTER, "*", "a"))["a"] == "1"


def what_was_asked_for_once_is_known(patch: pytest.MonkeyPatch) -> None:
    once: dict[int, set[str]] = {}

    def forget(state: TypeState, before: Subscription, _: Release) -> None:
        known = once.setdefault(id(state), set())
        known |= before.names
        state.dirty -= known

    after_the_first_request(patch, forget)


@scenario(26, kills=(what_was_asked_for_once_is_known,))
async def a_name_that_comes_back_is_sent_again(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, "a", "b")
    await stream.ask(ENDPOINT, "a")
    await stream.silence()
    assert contents(await stream.get(ENDPOINT, "a", "b")) == {"b": "1"}


def fewer_names_are_answered(patch: pytest.MonkeyPatch) -> None:
    def answer(state: TypeState, before: Subscription, _: Release) -> None:
        state.owed = bool(before.names - state.subscription.names)

    after_the_first_request(patch, answer)


def names_only_grow(patch: pytest.MonkeyPatch) -> None:
    def keep(state: TypeState, before: Subscription, _: Release) -> None:
        names = state.subscription.names | before.names
        state.subscription = replace(state.subscription, names=names)

    after_the_first_request(patch, keep)


@scenario(27, kills=(fewer_names_are_answered, names_only_grow))
async def fewer_names_are_met_with_silence(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, "a", "b")
    await stream.ask(ENDPOINT, "a")
    await stream.silence()
    world.publish(endpoint("b", "2"))
    await stream.silence()
    await stream.ask(ENDPOINT)
    await stream.silence()
    world.publish(endpoint("a", "2"))
    await stream.silence()


@scenario(28, kills=(names_only_grow,))
async def the_full_state_is_that_of_the_names_that_are_left(world: World) -> None:
    world.publish(*(listener(name) for name in "abc"))
    stream = await world.open(LISTENER)
    await stream.get(LISTENER, "a", "b", "c")
    await stream.ask(LISTENER, "a", "c")
    await stream.silence()
    world.publish(listener("a", content="2"), listener("b", content="2"))
    rest = {} if stream.dialect is Dialect.DELTA else {"c": "1"}
    assert contents(await stream.take()) == {"a": "2", **rest}


@scenario(29, variants=SOTW, kills=(names_only_grow,))
async def only_the_latest_names_count(world: World) -> None:
    world.publish(*(endpoint(name) for name in "abcd"))
    stream = await world.sotw(ENDPOINT)
    first = await stream.get(ENDPOINT, "a")
    rush = [["a", "b"], ["b", "c"], ["c"], ["d"]]
    await stream.rush(*(sotw_request(ENDPOINT, names, nonce=first.nonce) for names in rush))
    stream.talk(ENDPOINT).names = ("d",)
    await world.caught_up()
    while "d" not in contents(await stream.take()):
        pass
    await stream.silence()
    world.publish(*(endpoint(name, "2") for name in "abcd"))
    assert contents(await stream.take()) == {"d": "2"}
    await stream.silence()
