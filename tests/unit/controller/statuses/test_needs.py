"""What each object needs of which proxies, as snapshots change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.statuses.needs import Needs
from meltemi.protocols.model import Ref
from meltemi.testing.resources import ROUTE, cluster, route
from meltemi.xds.resource import CLUSTER, LISTENER, Key
from meltemi.xds.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meltemi.xds.resource import Resource

FIRST, SECOND = 1, 2
"""Groups."""

SHOP = Ref("MetaRouter", "default", "shop")
BANK = Ref("MetaRouter", "default", "bank")


def made(resource: Resource, *origins: Ref) -> Resource:
    return replace(resource, origins=origins)


class Rig:
    """The snapshots of two groups."""

    def __init__(self) -> None:
        self.needs = Needs({"MetaRouter"})
        self._snapshots = {FIRST: Snapshot(), SECOND: Snapshot()}

    def put(
        self, epoch: int, *resources: Resource, gone: Iterable[Key] = (), group: int = FIRST
    ) -> set[Ref]:
        changes: dict[Key, Resource | None] = {each.key: each for each in resources}
        changes |= dict.fromkeys(gone)
        snapshot = self._snapshots[group] = self._snapshots[group].replace(changes)
        return self.needs.fold(group, snapshot, changes, epoch)

    def of(self, about: Ref) -> dict[int, dict[str, int]]:
        return {group: dict(types) for group, types in self.needs.of(about)}


def test_an_object_needs_what_comes_from_it_since_it_changed_last() -> None:
    rig = Rig()
    assert rig.put(1, made(route("r"), SHOP.at("spec.routes[0]")), made(cluster("c"), SHOP)) == {
        SHOP
    }
    rig.put(4, made(route("r", content="2"), SHOP))
    rig.put(5, made(route("other"), BANK), group=SECOND)
    assert rig.of(SHOP) == {FIRST: {ROUTE: 4, CLUSTER: 1}}
    assert rig.of(BANK) == {SECOND: {ROUTE: 5}}


def test_equal_bytes_of_a_newer_generation_change_nothing_but_the_generation() -> None:
    rig = Rig()
    rig.put(1, made(route("r"), replace(SHOP, generation=1)))
    assert rig.put(2, made(route("r"), replace(SHOP, generation=2))) == {SHOP}
    assert rig.of(SHOP) == {FIRST: {ROUTE: 1}}
    assert rig.needs.generation(SHOP) == 2


def test_equal_bytes_that_come_from_another_object_now_are_that_objects_change() -> None:
    rig = Rig()
    rig.put(1, made(route("r"), SHOP))
    assert rig.put(2, made(route("r"), BANK)) == {SHOP, BANK}
    assert (rig.of(SHOP), rig.of(BANK)) == ({}, {FIRST: {ROUTE: 2}})


def test_an_object_is_forgotten_with_the_last_that_comes_from_it() -> None:
    rig = Rig()
    rig.put(1, made(route("a"), SHOP), made(route("b"), SHOP))
    rig.put(2, gone=[Key(ROUTE, "a")])
    assert rig.of(SHOP) == {FIRST: {ROUTE: 2}}
    rig.put(3, gone=[Key(ROUTE, "b")])
    assert (rig.of(SHOP), rig.needs.generation(SHOP)) == ({}, None)


def test_kinds_that_have_no_status_are_not_counted() -> None:
    rig = Rig()
    service = Ref("Service", "default", "shop")
    assert rig.put(1, made(route("r"), service)) == set()
    assert rig.of(service) == {}


def test_those_that_changed_lately_are_found_without_looking_at_all() -> None:
    rig = Rig()
    rig.put(1, made(route("a"), SHOP))
    rig.put(2, made(route("b"), BANK))
    assert list(rig.needs.since(FIRST, ROUTE, 2)) == [BANK]
    assert set(rig.needs.since(FIRST, ROUTE, 1)) == {SHOP, BANK}
    assert list(rig.needs.since(FIRST, LISTENER, 2)) == [BANK]
    assert list(rig.needs.since(FIRST, CLUSTER, 1)) == []
    assert list(rig.needs.since(SECOND, ROUTE, 1)) == []


def test_what_is_held_back_is_told_by_its_objects() -> None:
    rig = Rig()
    rig.put(1, made(route("a"), SHOP), made(route("b"), BANK))
    assert rig.needs.behind(FIRST, [Key(ROUTE, "a"), Key(ROUTE, "gone")]) == {SHOP}


def test_a_group_takes_along_what_was_needed_of_it() -> None:
    rig = Rig()
    rig.put(1, made(route("a"), SHOP))
    rig.put(1, made(route("a"), SHOP), group=SECOND)
    assert rig.needs.drop(FIRST) == {SHOP}
    assert rig.of(SHOP) == {SECOND: {ROUTE: 1}}
    assert rig.needs.drop(SECOND) == {SHOP}
    assert (rig.of(SHOP), rig.needs.generation(SHOP)) == ({}, None)


NAMES = st.sampled_from(["a", "b", "c"])
CHANGES = st.lists(
    st.tuples(NAMES, st.integers(0, 2), st.sets(st.sampled_from([SHOP, BANK]))), max_size=30
)


@given(CHANGES)
def test_step_by_step_comes_to_the_same_as_all_at_once(
    changes: list[tuple[str, int, set[Ref]]],
) -> None:
    rig = Rig()
    held: dict[str, Resource] = {}
    for epoch, (name, content, origins) in enumerate(changes, 1):
        if content:
            held[name] = made(route(name, content=str(content)), *sorted(origins))
            rig.put(epoch, held[name])
        else:
            held.pop(name, None)
            rig.put(epoch, gone=[Key(ROUTE, name)])
    anew = Rig()
    anew.put(1, *held.values())
    for about in (SHOP, BANK):
        assert rig.of(about).keys() == anew.of(about).keys()
        assert rig.needs.inside(FIRST) == anew.needs.inside(FIRST)
