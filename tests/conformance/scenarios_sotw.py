"""Rules 21 to 37: versions, names, and what a response carries. Most hold for both dialects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meltemi.testing.resources import ROUTE, cluster, endpoint, listener, plain, route
from meltemi.testing.xds_client import sotw_request
from meltemi.xds import dialect
from meltemi.xds.dialect import Delta, Sotw, TypeState
from meltemi.xds.release import Release
from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    SECRET,
)
from meltemi.xds.session import Acked, Nacked, Session
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.subscription import Subscription
from tests.conformance.scenario import (
    ADS,
    SOTW,
    SOTW_ADS,
    Dialect,
    mutate,
    scenario,
)
from tests.conformance.world import DRAIN, START, World, contents

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

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
        return original(self, state, replace(request, nonce=state.nonce), now)

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
    world.publish(cluster("a"), endpoint("a"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    await stream.get(ENDPOINT, "a")
    world.advance(3600)
    await stream.silence()
