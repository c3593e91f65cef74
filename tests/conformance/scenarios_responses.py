"""Rules 30 to 37: what a response carries, and when there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meltemi.testing.resources import ROUTE, cluster, endpoint, listener, plain, route
from meltemi.xds import dialect
from meltemi.xds.dialect import Delta, Sotw, TypeState
from meltemi.xds.release import Release
from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    SECRET,
    Key,
)
from meltemi.xds.session import Session
from meltemi.xds.subscription import Subscription
from tests.conformance.client import contents
from tests.conformance.scenario import (
    ADS,
    SOTW,
    SOTW_ADS,
    Dialect,
    mutate,
    scenario,
)
from tests.conformance.world import DRAIN, START, World

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from tests.conformance.scenario import Method

DIALECTS = (Sotw, Delta)


# 30 and 31: full state, and everything else


def every_type_is_partial(patch: pytest.MonkeyPatch) -> None:
    def compose(original: Method, self: Any, state: TypeState, view: Release) -> Any:
        composed = original(self, state, view)
        return composed and replace(composed, resources=composed.changed)

    mutate(patch, Sotw, "compose", compose)


def nothing_is_not_worth_a_response(patch: pytest.MonkeyPatch) -> None:
    def compose(original: Method, self: Any, state: TypeState, view: Release) -> Any:
        composed = original(self, state, view)
        return composed if composed and composed.resources else None

    mutate(patch, Sotw, "compose", compose)


@scenario(30, variants=SOTW, kills=(every_type_is_partial, nothing_is_not_worth_a_response))
async def listeners_and_clusters_come_all_at_once(world: World) -> None:
    world.publish(listener("a"), listener("b"), cluster("a"), cluster("b"))
    for type_url, change in ((CLUSTER, cluster("a", "2")), (LISTENER, listener("a", content="2"))):
        stream = await world.open(type_url)
        assert contents(await stream.get(type_url)) == {"a": "1", "b": "1"}
        world.publish(change)
        assert contents(await stream.take()) == {"a": "2", "b": "1"}
    world.publish(removed=[listener("a").key])
    assert contents(await stream.take()) == {"b": "1"}
    world.publish(removed=[listener("b").key])
    assert contents(await stream.take()) == {}


def every_type_comes_whole(patch: pytest.MonkeyPatch) -> None:
    def compose(original: Method, self: Any, state: TypeState, view: Release) -> Any:
        state.whole = True
        return original(self, state, view)

    for each in DIALECTS:
        mutate(patch, each, "compose", compose)


@scenario(31, kills=(every_type_comes_whole,))
async def other_types_come_as_they_change(world: World) -> None:
    types = [ENDPOINT, SECRET, EXTENSION, *([ROUTE] if world.variant.aggregated else [])]
    for type_url in types:
        world.publish(plain(type_url, "a"), plain(type_url, "b"))
        stream = await world.open(type_url)
        assert contents(await stream.get(type_url, "a", "b")) == {"a": "1", "b": "1"}
        world.publish(plain(type_url, "a", "2"))
        assert contents(await stream.take()) == {"a": "2"}
        await stream.silence()


def a_removal_is_an_empty_response(patch: pytest.MonkeyPatch) -> None:
    def compose(original: Method, self: Any, state: TypeState, view: Release) -> Any:
        state.owed = state.owed or bool(state.dirty)
        return original(self, state, view)

    for each in DIALECTS:
        mutate(patch, each, "compose", compose)


@scenario(31, kills=(a_removal_is_an_empty_response,))
async def a_resource_that_its_parent_drops_goes_in_silence(world: World) -> None:
    world.publish(plain(SECRET, "s"), plain(SECRET, "t"))
    stream = await world.open(SECRET)
    await stream.get(SECRET, "s", "t")
    world.publish(removed=[plain(SECRET, "s").key])
    await stream.silence()


# 32 and 33: what does not exist


def unknown_names_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    def subscribe(original: Method, self: Any, state: TypeState, *args: Any, first: bool) -> None:
        original(self, state, *args, first=first)
        _, view = args
        names = state.subscription.names & view.of_type(state.rules.type_url).keys()
        state.subscription = replace(state.subscription, names=frozenset(names))

    for each in DIALECTS:
        mutate(patch, each, "subscribe", subscribe)


@scenario(32, kills=(unknown_names_are_forgotten,))
async def a_name_that_does_not_exist_yet_is_sent_when_it_does(world: World) -> None:
    world.publish(plain(SECRET, "here"))
    stream = await world.open(SECRET)
    assert contents(await stream.get(SECRET, "here", "later")) == {"here": "1"}
    await stream.silence()
    world.publish(plain(SECRET, "later"))
    assert contents(await stream.take()) == {"later": "1"}


def missing_assignments_are_met_with_silence(patch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> Iterable[Any]:
        return []

    patch.setattr(dialect, "_made_of", none)
    patch.setattr(dialect, "_absences", none)


@scenario(33, variants=ADS, kills=(missing_assignments_are_met_with_silence,))
async def a_cluster_without_endpoints_gets_an_empty_assignment(world: World) -> None:
    world.publish(cluster("a"), cluster("b"), endpoint("a"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    assert contents(await stream.get(ENDPOINT, "a", "b")) == {"a": "1", "b": ""}
    world.publish(endpoint("b"))
    assert contents(await stream.take()) == {"b": "1"}


@scenario(33, kills=(missing_assignments_are_met_with_silence,))
async def whoever_asks_for_an_assignment_that_does_not_exist_hears_so(world: World) -> None:
    stream = await world.open(ENDPOINT)
    response = await stream.get(ENDPOINT, "a")
    assert contents(response) == {"a": ""} or response.removed == ("a",)


# 34 and 35: what is sent unasked


def a_changed_cluster_leaves_its_assignment(patch: pytest.MonkeyPatch) -> None:
    def children(*_: object) -> Iterable[Any]:
        return []

    patch.setattr(Session, "_children", children)


@scenario(34, variants=(SOTW_ADS,), kills=(a_changed_cluster_leaves_its_assignment,))
async def a_changed_cluster_gets_its_assignment_again(world: World) -> None:
    world.publish(cluster("a"), endpoint("a"), cluster("b"), endpoint("b"))
    stream = await world.sotw(CLUSTER)
    await stream.get(CLUSTER)
    await stream.get(ENDPOINT, "a", "b")
    world.publish(cluster("a", "2"))
    clusters = await stream.hear()
    await stream.ask(ENDPOINT, "a", "b")  # the same request as before
    assert contents(await stream.take()) == {"a": "1"}
    await stream.answer(clusters)
    await stream.silence()


def everybody_hears_everything(patch: pytest.MonkeyPatch) -> None:
    def selects(*_: object) -> bool:
        return True

    patch.setattr(Subscription, "selects", selects)


@scenario(35, kills=(everybody_hears_everything,))
async def what_nobody_asked_for_is_not_sent(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, "a")
    world.publish(endpoint("b"), plain(SECRET, "s"), cluster("a"), listener("l", "a"))
    await stream.silence()
    world.publish(endpoint("b", "2"))
    await stream.silence()


def every_type_is_asked_for(patch: pytest.MonkeyPatch) -> None:
    def update(original: Method, self: Any, *args: Any) -> None:
        for type_url, rules in self._rules.items():
            self._states.setdefault(type_url, TypeState(rules, Subscription(wildcard=True)))
        original(self, *args)

    mutate(patch, Session, "update", update)


@scenario(35, variants=ADS, kills=(every_type_is_asked_for,))
async def a_type_that_was_not_asked_for_holds_nothing_up(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    world.publish(listener("l", "a"), route("r", "a"), plain(SECRET, "s"), cluster("b"))
    assert contents(await stream.take()) == {"a": "1", "b": "1"} or stream.dialect is Dialect.DELTA
    await stream.silence()


# 36 and 37: when there is nothing new


def a_claimed_version_is_trusted(patch: pytest.MonkeyPatch) -> None:
    def subscribe(
        original: Method, self: Any, state: Any, request: Any, view: Any, **how: Any
    ) -> None:
        original(self, state, request, view, **how)
        if request.version == view.version(state.rules.type_url):
            state.clear()

    mutate(patch, Sotw, "subscribe", subscribe)


@scenario(36, variants=SOTW, kills=(a_claimed_version_is_trusted,))
async def a_reconnect_is_answered_at_any_version(world: World) -> None:
    world.publish(cluster("a"), endpoint("a"))
    for type_url in (CLUSTER, ENDPOINT):
        before = await (await world.sotw(type_url)).get(type_url, "a")
        again = await world.sotw(type_url)
        await again.request(type_url, ["a"], version=before.version)
        after = await again.take()
        assert (contents(after), after.version) == ({"a": "1"}, before.version)


@scenario(36, variants=(SOTW_ADS,), kills=(a_claimed_version_is_trusted,))
async def a_reconnect_is_answered_type_by_type(world: World) -> None:
    world.publish(cluster("a"), endpoint("a"), listener("l", "a"), route("r", "a"))
    stream = await world.sotw(CLUSTER)
    for type_url, names in ((CLUSTER, ""), (ENDPOINT, "a"), (LISTENER, ""), (ROUTE, "r")):
        version = world.group.snapshot.version(type_url)
        await stream.request(type_url, names, version=version)
        stream.talk(type_url).names = tuple(names)
        assert contents(await stream.take())
    await stream.silence()


def all_that_is_published_is_new(patch: pytest.MonkeyPatch) -> None:
    def update(original: Method, self: Any, snapshot: Any, changed: Any) -> Any:
        return {*original(self, snapshot, changed), *changed}

    mutate(patch, Release, "update", update)


@scenario(37, kills=(all_that_is_published_is_new,))
async def what_did_not_change_is_not_sent(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, "a", "b")
    world.publish(endpoint("a"), endpoint("b"))
    await stream.silence()


@scenario(37, kills=(all_that_is_published_is_new,))
async def a_cluster_that_comes_back_while_it_lingers_is_not_sent(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER, "a", "b")
    world.publish(removed=[cluster("a").key])
    await stream.silence()
    world.publish(cluster("a"))
    await stream.silence()
    world.advance(DRAIN)
    await stream.silence()


def a_tick_is_a_change(patch: pytest.MonkeyPatch) -> None:
    def tick(original: Method, self: Any, now: float, *, quiet: bool) -> Any:
        seen = original(self, now, quiet=quiet)
        return [*seen, *self.named()] if now > START else seen

    mutate(patch, Release, "tick", tick)


@scenario(37, variants=ADS, kills=(a_tick_is_a_change,))
async def time_alone_changes_nothing(world: World) -> None:
    """Also where a cluster lingers, until it goes."""
    world.publish(cluster("a"), endpoint("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    await stream.get(ENDPOINT, "a")
    world.publish(removed=[Key(CLUSTER, "b")])
    world.advance(DRAIN / 2)
    await stream.silence()
