"""Incremental streams of proxies that come again, and all that they list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meltemi.testing.resources import ROUTE, cluster, endpoint, listener, plain, route
from meltemi.xds import dialect
from meltemi.xds.dialect import Delta
from meltemi.xds.group import Group
from meltemi.xds.limits import Limits
from meltemi.xds.release import Release
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, SECRET
from meltemi.xds.session import Session
from meltemi.xds.snapshot import Snapshot
from tests.conformance.client import contents
from tests.conformance.scenario import DELTA, DELTA_ADS, SOTW_ADS, mutate, nothing, scenario
from tests.conformance.scenarios_delta import reading
from tests.conformance.world import DRAIN, START

if TYPE_CHECKING:
    import pytest

    from meltemi.xds.dialect import TypeState
    from meltemi.xds.resource import Resource
    from meltemi.xds.subscription import Subscription
    from meltemi.xds.wire import DeltaRequest
    from tests.conformance.scenario import Method
    from tests.conformance.world import World

MANY = tuple(
    f"outbound|20880|v1|service-{number}.shop.svc.cluster.local" for number in range(100_000)
)


@reading
def versions_of_a_reconnect_are_ignored(request: DeltaRequest) -> DeltaRequest:
    return request._replace(initial={})


def what_went_during_a_reconnect_is_not_told(patch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> set[str]:
        return set()

    patch.setattr(dialect, "_gone", gone)


@scenario(
    59,
    variants=DELTA,
    kills=(versions_of_a_reconnect_are_ignored, what_went_during_a_reconnect_is_not_told),
)
async def a_reconnect_brings_what_differs_and_what_is_gone(world: World) -> None:
    world.publish(listener("same"), listener("changed", content="2"))
    stream = await world.delta(LISTENER)
    held = {name: listener(name).version for name in ("same", "changed", "gone")}
    await stream.request(LISTENER, initial=held)
    response = await stream.take()
    assert (contents(response), response.removed) == ({"changed": "2"}, ("gone",))


def a_cluster_goes_with_the_reconnect(patch: pytest.MonkeyPatch) -> None:
    def adopt(original: Method, self: Any, names: Any) -> None:
        original(self, names)
        self._leaving = dict.fromkeys(self._leaving, START)

    mutate(patch, Release, "adopt", adopt)


def a_cluster_that_only_the_proxy_knows_stays(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Release, "adopt", nothing)


@scenario(
    59,
    variants=DELTA,
    kills=(a_cluster_goes_with_the_reconnect, a_cluster_that_only_the_proxy_knows_stays),
)
async def a_cluster_that_is_gone_lingers_after_a_reconnect(world: World) -> None:
    world.publish(cluster("same"))
    stream = await world.delta(CLUSTER)
    held = {name: cluster(name).version for name in ("same", "gone")}
    await stream.request(CLUSTER, initial=held)
    world.advance(DRAIN / 2)
    world.publish(cluster("new"))
    response = await stream.take()
    assert (contents(response), response.removed) == ({"new": "1"}, ())
    world.advance(DRAIN)
    assert (await stream.take()).removed == ("gone",)


@reading
def versions_of_a_reconnect_are_subscriptions(request: DeltaRequest) -> DeltaRequest:
    return request._replace(subscribe=(*request.subscribe, *request.initial))


@scenario(60, variants=DELTA, kills=(versions_of_a_reconnect_are_subscriptions,))
async def a_version_of_a_reconnect_is_no_subscription(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b", "2"))
    stream = await world.delta(ENDPOINT)
    held = {name: endpoint(name).version for name in ("a", "b")}
    await stream.resume(ENDPOINT, "a", held=held)
    await stream.silence()
    world.publish(endpoint("b", "3"))
    await stream.silence()


def later_versions_count_too(patch: pytest.MonkeyPatch) -> None:
    def subscribe(
        original: Method,
        self: Delta,
        state: TypeState,
        request: DeltaRequest,
        view: Release,
        *,
        first: bool,
    ) -> None:
        original(self, state, request, view, first=first or bool(request.initial))

    mutate(patch, Delta, "subscribe", subscribe)


@scenario(61, variants=DELTA, kills=(later_versions_count_too,))
async def versions_in_a_later_request_are_ignored(world: World) -> None:
    world.publish(endpoint("a", "2"), endpoint("b"))
    stream = await world.delta(ENDPOINT)
    await stream.get(ENDPOINT, "a")
    held = {name: endpoint(name).version for name in ("a", "b")}
    await stream.request(ENDPOINT, ["b"], initial=held)
    assert contents(await stream.take()) == {"b": "1"}
    await stream.silence()


def nothing_comes_before_clusters(patch: pytest.MonkeyPatch) -> None:
    def blocked(original: Method, self: Any, state: TypeState) -> Any:
        return CLUSTER not in self._states or original(self, state)

    mutate(patch, Session, "_blocked", blocked)


def listeners_wait_for_a_response_of_clusters(patch: pytest.MonkeyPatch) -> None:
    def subscribe(original: Method, self: Any, asked: Subscription, _: Any) -> None:
        original(self, asked, ())

    mutate(patch, Release, "subscribe", subscribe)


@scenario(64, variants=(DELTA_ADS,), kills=(nothing_comes_before_clusters,))
async def endpoints_are_answered_before_clusters_are_asked_for(world: World) -> None:
    world.publish(cluster("a"), endpoint("a", "2"))
    stream = await world.delta(ENDPOINT)
    await stream.resume(ENDPOINT, "a", held={"a": endpoint("a").version})
    response = await stream.take()
    assert (response.type_url, contents(response)) == (ENDPOINT, {"a": "2"})


@scenario(64, variants=(DELTA_ADS,), kills=(listeners_wait_for_a_response_of_clusters,))
async def each_type_of_a_reconnect_is_answered_in_whatever_order(world: World) -> None:
    world.publish(cluster("a"), endpoint("a", "2"), listener("l", "a"), route("r", "a"))
    stream = await world.delta(ENDPOINT)
    await stream.resume(ENDPOINT, "a", held={"a": endpoint("a").version})
    await stream.resume(LISTENER, held={"l": "old"})
    await stream.resume(ROUTE, "r", held={"r": "old"})
    await stream.resume(CLUSTER, held={"a": cluster("a").version})
    heard = [await stream.take() for _ in range(3)]
    assert {each.type_url for each in heard} == {ENDPOINT, LISTENER, ROUTE}
    await stream.silence()


def move_to_a_replica(world: World, *resources: Resource) -> None:
    """From now on streams are served by somebody who came to the same by another way."""
    world.group = Group(Snapshot.of(resources), drain=DRAIN)


def versions_are_of_this_process(patch: pytest.MonkeyPatch) -> None:
    def version(original: Method, self: Snapshot, *args: Any) -> str:
        return f"{id(self)}-{original(self, *args)}"

    mutate(patch, Snapshot, "version", version)


@scenario(66, variants=DELTA, kills=(versions_of_a_reconnect_are_ignored,))
async def a_reconnect_to_another_replica_brings_nothing(world: World) -> None:
    names = ("a", "b", "c")
    world.publish(*map(endpoint, names))
    stream = await world.delta(ENDPOINT)
    first = await stream.get(ENDPOINT, *names)
    move_to_a_replica(world, *map(endpoint, reversed(names)))
    again = await world.delta(ENDPOINT)
    await again.resume(ENDPOINT, *names, held=dict(zip(first.names, first.versions, strict=True)))
    await again.silence()


@scenario(66, variants=DELTA, kills=(versions_are_of_this_process,))
async def two_replicas_agree_on_the_version_of_a_type(world: World) -> None:
    names = ("a", "b", "c")
    world.publish(*map(endpoint, names))
    first = await (await world.delta(ENDPOINT)).get(ENDPOINT, "*")
    move_to_a_replica(world, *map(endpoint, reversed(names)))
    second = await (await world.delta(ENDPOINT)).get(ENDPOINT, "*")
    assert first.version == second.version


def requests_have_the_default_limit_of_grpc(patch: pytest.MonkeyPatch) -> None:
    def init(original: Method, self: Limits, **given: Any) -> None:
        original(self, **{"request_bytes": 4 * 1024 * 1024, **given})

    mutate(patch, Limits, "__init__", init)


@scenario(69, variants=(DELTA_ADS,), kills=(requests_have_the_default_limit_of_grpc,))
async def a_reconnect_may_list_a_hundred_thousand_versions(world: World) -> None:
    world.publish(plain(SECRET, "a"))
    stream = await world.delta(SECRET)
    await stream.resume(SECRET, "a", *MANY, held=dict.fromkeys(MANY, "0123456789abcdef"))
    assert contents(await stream.take()) == {"a": "1"}


@scenario(69, variants=(SOTW_ADS,), kills=(requests_have_the_default_limit_of_grpc,))
async def a_request_may_list_a_hundred_thousand_names(world: World) -> None:
    world.publish(plain(SECRET, "a"))
    stream = await world.open(SECRET)
    assert contents(await stream.get(SECRET, "a", *MANY)) == {"a": "1"}
