"""What streams share of what they are owed, and when they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.testing.resources import RULES, cluster, endpoint
from meltemi.testing.xds_client import read_sotw, sotw_request
from meltemi.xds.dialect import Composed, Sotw, TypeState
from meltemi.xds.resource import CLUSTER, ENDPOINT, Resource
from meltemi.xds.response_cache import Owed, ResponseCache
from meltemi.xds.session import Session
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.subscription import Subscription

if TYPE_CHECKING:
    from meltemi.xds.release import Release
    from meltemi.xds.wire import SotwRequest

NOW = 0.0


def owed(name: str, snapshot: Snapshot) -> Owed:
    everything = Subscription(wildcard=True)
    return Owed(id(snapshot), "sotw", name, everything, whole=True, owed=False, dirty=frozenset())


def of_size(size: int) -> Composed:
    return Composed((Resource(CLUSTER, "a", "1", b"x" * size),), (), frozenset())


def test_the_longest_unused_goes_first() -> None:
    snapshot, cache = Snapshot(), ResponseCache(entries=2)
    a, b, c = (owed(name, snapshot) for name in "abc")
    cache.put(a, snapshot, of_size(1))
    cache.put(b, snapshot, None)
    cache.take(a)
    cache.put(c, snapshot, None)
    assert [key in cache for key in (a, b, c)] == [True, False, True]


def test_it_holds_no_more_bytes_than_it_may() -> None:
    snapshot, cache = Snapshot(), ResponseCache(size=10)
    a, b, large = (owed(name, snapshot) for name in ("a", "b", "large"))
    cache.put(large, snapshot, of_size(11))
    cache.put(a, snapshot, of_size(6))
    assert (large in cache, a in cache) == (False, True)
    cache.put(b, snapshot, of_size(5))
    assert (a in cache, b in cache, len(cache)) == (False, True, 1)


class Counting(Sotw):
    """Counts how often something is composed."""

    def __init__(self) -> None:
        self.times = 0

    def compose(self, state: TypeState, view: Release) -> Composed | None:
        self.times += 1
        return super().compose(state, view)


class Streams:
    """State-of-the-world streams that share a cache, and mostly a snapshot."""

    def __init__(self) -> None:
        self.dialect = Counting()
        self.cache = ResponseCache()

    def open(self, snapshot: Snapshot) -> Session[SotwRequest]:
        return Session(
            self.dialect,
            RULES,
            snapshot,
            node_id="proxy",
            identifier="",
            drain=60.0,
            cache=self.cache,
        )


def asks(session: Session[SotwRequest], type_url: str, *names: str) -> tuple[bytes, ...]:
    session.receive(sotw_request(type_url, names, node="proxy"), NOW)
    return heard(session)


def heard(session: Session[SotwRequest]) -> tuple[bytes, ...]:
    raw = session.next_response(NOW)
    assert raw is not None
    return read_sotw(raw).bodies


def test_streams_that_ask_for_the_same_share_a_composition() -> None:
    streams, world = Streams(), Snapshot.of([cluster("a"), cluster("b")])
    assert asks(streams.open(world), CLUSTER) == (b"a=1", b"b=1")
    assert asks(streams.open(world), CLUSTER) == (b"a=1", b"b=1")
    assert streams.dialect.times == 1


def test_a_change_is_composed_once_for_all_streams() -> None:
    streams, world = Streams(), Snapshot.of([endpoint("a"), endpoint("b")])
    sessions = [streams.open(world) for _ in range(3)]
    for session in sessions:
        asks(session, ENDPOINT, "a", "b")
    before = streams.dialect.times
    changed = endpoint("b", "2")
    after = world.replace({changed.key: changed})
    for session in sessions:
        session.receive(sotw_request(ENDPOINT, ("a", "b"), nonce="1"), NOW)
        session.update(after, {changed.key})
    assert [heard(session) for session in sessions] == [(b"b=2",)] * 3
    assert streams.dialect.times == before + 1


def test_streams_that_ask_for_something_else_are_given_that() -> None:
    streams, world = Streams(), Snapshot.of([cluster("a"), cluster("b"), endpoint("a")])
    assert asks(streams.open(world), CLUSTER, "a") == (b"a=1",)
    assert asks(streams.open(world), CLUSTER, "b") == (b"b=1",)
    assert asks(streams.open(world), CLUSTER) == (b"a=1", b"b=1")
    assert asks(streams.open(world), ENDPOINT, "a") == (b"a=1",)


def test_another_snapshot_is_another_composition() -> None:
    streams = Streams()
    old, new = Snapshot.of([cluster("a")]), Snapshot.of([cluster("a", "2")])
    assert asks(streams.open(old), CLUSTER) == (b"a=1",)
    assert asks(streams.open(new), CLUSTER) == (b"a=2",)
    assert asks(streams.open(old), CLUSTER) == (b"a=1",)


def test_a_stream_with_lingering_clusters_keeps_them_to_itself() -> None:
    streams, world = Streams(), Snapshot.of([cluster("a"), cluster("b")])
    lingering = streams.open(world)
    asks(lingering, CLUSTER)
    lingering.receive(sotw_request(CLUSTER, nonce="1"), NOW)
    fewer = world.replace({cluster("a").key: None, cluster("b").key: cluster("b", "2")})
    lingering.update(fewer, {cluster("a").key, cluster("b").key})
    assert set(heard(lingering)) == {b"a=1", b"b=2"}
    assert asks(streams.open(fewer), CLUSTER) == (b"b=2",)
