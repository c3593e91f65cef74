"""Rules 41 to 50: everything, by a star or by saying nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any

from meltemi.testing.resources import cluster, endpoint, listener
from meltemi.xds import subscription
from meltemi.xds.dialect import Delta
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER
from meltemi.xds.subscription import Subscription
from tests.conformance.client import contents
from tests.conformance.scenario import DELTA, SOTW, mutate, scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import pytest

    from tests.conformance.scenario import Method, Mutant
    from tests.conformance.world import World

    Names = tuple[Collection[str], ...]
    Folding = Callable[[Subscription, Subscription, Names], Subscription]


def folding(change: Folding) -> Mutant:
    """A mutant of how a request is folded into a subscription: ``change`` gets the subscription
    before, the right one after, and what the request names.
    """

    def fold(original: Method, self: Subscription, *names: Any, legacy: bool) -> Subscription:
        return change(self, original(self, *names, legacy=legacy), names)

    @wraps(change)
    def mutant(patch: pytest.MonkeyPatch) -> None:
        mutate(patch, Subscription, "replaced", fold)
        mutate(patch, Subscription, "amended", fold)

    return mutant


def a_star_is_a_name_like_any_other(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(subscription, "WILDCARD", "not a star")


@scenario(41, kills=(a_star_is_a_name_like_any_other,))
async def a_star_asks_for_all_that_there_is_and_will_be(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    assert contents(await stream.get(CLUSTER, "*")) == {"a": "1", "b": "1"}
    world.publish(cluster("c"))
    assert "c" in contents(await stream.take())


@scenario(41, kills=(a_star_is_a_name_like_any_other,))
async def a_star_asks_for_all_of_a_type_without_an_implied_wildcard(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    assert contents(await stream.get(ENDPOINT, "*")) == {"a": "1", "b": "1"}


@folding
def no_names_mean_nothing(_: Subscription, after: Subscription, __: Names) -> Subscription:
    return replace(after, wildcard=after.wildcard and after.named)


@scenario(42, kills=(no_names_mean_nothing,))
async def no_names_at_first_ask_for_everything(world: World) -> None:
    world.publish(listener("a"), listener("b"))
    stream = await world.open(LISTENER)
    assert contents(await stream.get(LISTENER)) == {"a": "1", "b": "1"}
    world.publish(listener("c"))
    assert "c" in contents(await stream.take())


@folding
def no_names_always_mean_everything(
    _: Subscription, after: Subscription, __: Names
) -> Subscription:
    return after if after else replace(after, wildcard=True)


@scenario(43, variants=SOTW, kills=(no_names_always_mean_everything,))
async def a_sotw_client_that_named_something_and_names_nothing_is_left_alone(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    assert contents(await stream.get(CLUSTER)) == {"a": "1", "b": "1"}
    await stream.ask(CLUSTER, "*", "a")  # goes on with everything
    await stream.take()
    world.publish(cluster("b", "2"))
    assert contents(await stream.take()) == {"a": "1", "b": "2"}
    await stream.ask(CLUSTER, "a")
    await stream.silence()
    world.publish(cluster("a", "2"), cluster("b", "3"))
    assert contents(await stream.take()) == {"a": "2"}
    await stream.ask(CLUSTER)
    await stream.silence()
    world.publish(cluster("a", "3"), cluster("b", "4"))
    await stream.silence()


@scenario(43, variants=DELTA, kills=(no_names_always_mean_everything,))
async def a_delta_client_that_named_something_and_drops_it_is_left_alone(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.delta(CLUSTER)
    assert contents(await stream.get(CLUSTER)) == {"a": "1", "b": "1"}
    assert contents(await stream.get(CLUSTER, "a")) == {"a": "1"}
    world.publish(cluster("b", "2"))
    assert contents(await stream.take()) == {"b": "2"}
    await stream.request(CLUSTER, [], ["*"])
    await stream.silence()
    world.publish(cluster("a", "2"), cluster("b", "3"))
    assert contents(await stream.take()) == {"a": "2"}
    await stream.ask(CLUSTER)
    await stream.silence()
    world.publish(cluster("a", "3"), cluster("b", "4"))
    await stream.silence()


@folding
def a_star_is_for_ever(before: Subscription, after: Subscription, _: Names) -> Subscription:
    return replace(after, wildcard=before.wildcard or after.wildcard)


@scenario(44, variants=SOTW, kills=(a_star_is_for_ever,))
async def a_list_without_the_star_keeps_what_it_names_and_nothing_else(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER, "*", "a")
    await stream.ask(CLUSTER, "a")
    await stream.silence()
    world.publish(cluster("b", "2"))
    await stream.silence()
    world.publish(cluster("a", "2"))
    assert contents(await stream.take()) == {"a": "2"}
    await stream.ask(CLUSTER)
    world.publish(cluster("a", "3"))
    await stream.silence()


@folding
def a_name_replaces_the_wildcard(_: Subscription, after: Subscription, __: Names) -> Subscription:
    return replace(after, wildcard=after.wildcard and not after.names)


@scenario(45, variants=DELTA, kills=(a_name_replaces_the_wildcard,))
async def a_name_is_asked_for_beside_the_implied_wildcard(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    assert contents(await stream.get(CLUSTER, "a")) == {"a": "1"}
    world.publish(cluster("b", "2"))
    assert contents(await stream.take()) == {"b": "2"}


@scenario(45, variants=DELTA, kills=(a_name_replaces_the_wildcard,))
async def a_reconnect_names_the_star_and_what_was_asked_for_on_demand(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.delta(CLUSTER)
    held = {name: cluster(name).version for name in ("a", "b")}
    await stream.resume(CLUSTER, "*", "a", held=held)
    world.publish(cluster("b", "2"))
    assert contents(await stream.take()) == {"b": "2"}


@folding
def without_the_star_nothing_is_left(
    before: Subscription, after: Subscription, _: Names
) -> Subscription:
    return Subscription(named=True) if before.wildcard and not after.wildcard else after


@scenario(46, variants=DELTA, kills=(without_the_star_nothing_is_left,))
async def dropping_the_star_keeps_the_names(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER, "*", "a")
    await stream.ask(CLUSTER, "a")
    await stream.silence()
    world.publish(cluster("b", "2"))
    await stream.silence()
    world.publish(cluster("a", "2"))
    assert contents(await stream.take()) == {"a": "2"}


def a_dropped_name_is_not_answered(patch: pytest.MonkeyPatch) -> None:
    def subscribe(
        original: Method, self: Delta, state: Any, request: Any, *args: Any, **kwargs: Any
    ) -> None:
        original(self, state, request, *args, **kwargs)
        state.dirty.difference_update(request.unsubscribe)

    mutate(patch, Delta, "subscribe", subscribe)


@scenario(47, variants=DELTA, kills=(a_dropped_name_is_not_answered,))
async def a_dropped_name_is_sent_again_where_the_star_covers_it(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER, "*", "a")
    assert contents(await stream.get(CLUSTER, "*")) == {"a": "1"}


@scenario(47, variants=DELTA, kills=(a_dropped_name_is_not_answered,))
async def a_dropped_name_is_removed_where_the_star_does_not_cover_it(world: World) -> None:
    world.publish(cluster("b"))
    stream = await world.open(CLUSTER)
    assert (await stream.get(CLUSTER, "*", "a")).removed == ("a",)
    assert (await stream.get(CLUSTER, "*")).removed == ("a",)


@folding
def adding_the_star_wins(_: Subscription, after: Subscription, names: Names) -> Subscription:
    return replace(after, wildcard=after.wildcard or "*" in names[0])


@scenario(48, variants=DELTA, kills=(adding_the_star_wins,))
async def a_star_that_is_added_and_dropped_at_once_is_nothing(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.delta(CLUSTER)
    await stream.request(CLUSTER, ["*"], ["*"])
    assert contents(await stream.get(CLUSTER, "b")) == {"b": "1"}
    world.publish(cluster("a", "2"))
    await stream.silence()


def every_type_has_the_implied_wildcard(patch: pytest.MonkeyPatch) -> None:
    def fold(original: Method, self: Subscription, *names: Any, legacy: bool) -> Any:
        return original(self, *names, legacy=not self.named)

    mutate(patch, Subscription, "replaced", fold)
    mutate(patch, Subscription, "amended", fold)


@scenario(49, kills=(every_type_has_the_implied_wildcard,))
async def no_names_are_no_wish_for_the_endpoints_of_the_world(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    await stream.ask(ENDPOINT)
    assert contents(await stream.get(ENDPOINT, "b")) == {"b": "1"}


@folding
def a_glob_is_a_star(_: Subscription, after: Subscription, __: Names) -> Subscription:
    return replace(
        after, wildcard=after.wildcard or any(each.endswith("/*") for each in after.names)
    )


@scenario(50, kills=(a_glob_is_a_star,))
async def a_glob_is_the_name_of_something_that_does_not_exist(world: World) -> None:
    world.publish(listener("a"), listener("b"))
    stream = await world.open(LISTENER)
    glob = "xdstp://meltemi/envoy.config.listener.v3.Listener/*"
    assert contents(await stream.get(LISTENER, glob, "b")) == {"b": "1"}
    world.publish(listener("a", content="2"), listener("c"))
    await stream.silence()
