"""Random changes keep what calls rely on, whatever else they do."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
import yaml

from meltemi.testing.ports import LOOPBACK, Address
from tests.churn.changes import Care, repaired, step
from tests.churn.world import BROKEN_FILES, DEAD, LIVE, VERSIONS, beginning, files, rules_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.churn.world import World

ADDRESSES = {
    protocol: {name: Address(LOOPBACK, 1 + at) for at, name in enumerate((*LIVE, *DEAD))}
    for protocol in ("dubbo", "thrift", "tcp", "redis")
}
STEPS = 300


def walk(seed: int, care: Care | None = None) -> Iterator[World]:
    """A world and what becomes of it."""
    chance, world = Random(seed), beginning()
    for _ in range(STEPS):
        yield world
        _, world = step(world, chance, care or Care())


def living(world: World, protocol: str) -> set[str]:
    return set(world.steady[protocol].listed) - set(DEAD)


def test_a_seed_says_all_that_happens() -> None:
    assert [*walk(1)] == [*walk(1)]
    assert [*walk(1)] != [*walk(2)]


def test_every_step_changes_something() -> None:
    worlds = [*walk(3)]
    assert all(before != after for before, after in pairwise(worlds))


def test_each_version_always_has_a_server_and_all_of_one_are_exchanged_at_once_sometimes() -> None:
    exchanged = 0
    for before, after in pairwise(walk(4)):
        for protocol in before.steady:
            old, new = (_by_version(living(world, protocol)) for world in (before, after))
            assert all(new.values())
            exchanged += sum(old[version].isdisjoint(new[version]) for version in VERSIONS)
    assert exchanged > 5


def _by_version(names: set[str]) -> dict[str, set[str]]:
    return {version: {name for name in names if name.startswith(version)} for version in VERSIONS}


def test_with_care_for_hosts_no_server_goes() -> None:
    worlds = [*walk(5, Care(hosts=True))]
    for before, after in pairwise(worlds):
        assert all(living(before, name) <= living(after, name) for name in before.steady)


def test_with_care_for_clusters_rules_keep_their_routes_and_subsets() -> None:
    first, *later = walk(6, Care(clusters=True))
    for world in later:
        for protocol, service in world.steady.items():
            assert (service.routes, service.subsets) == (
                first.steady[protocol].routes,
                first.steady[protocol].subsets,
            )


def test_a_rule_for_one_method_leaves_no_other_call_without_a_route() -> None:
    several = [
        service for world in walk(7) for service in world.steady.values() if len(service.routes) > 1
    ]
    assert several
    for service in several:
        assert {version for version, _ in service.routes[-1].weights} <= service.subsets


@pytest.mark.parametrize("protocol", ["dubbo", "thrift", "tcp", "redis"])
def test_mistakes_are_in_files_of_rules_and_can_be_put_right(protocol: str) -> None:
    broken = [world for world in walk(8) if rules_file(protocol) in world.broken]
    assert broken
    for world in broken[:20]:
        texts, good = files(world, ADDRESSES), files(repaired(world), ADDRESSES)
        different = {name for name, text in texts.items() if text != good[name]}
        assert different <= world.broken.keys()
        if "yaml" in world.broken.values():
            assert any(not readable(texts[name]) for name in different)
        assert all(readable(text) for text in good.values())
        assert set(world.broken.values()) <= {*BROKEN_FILES, "regex", "subset", "host"}


def readable(text: str) -> bool:
    try:
        return [*yaml.safe_load_all(text)] != []
    except yaml.YAMLError:
        return False


def test_rules_that_cannot_be_read_do_not_change() -> None:
    for before, after in pairwise(walk(9)):
        for protocol, service in before.steady.items():
            file = rules_file(protocol)
            if {before.broken.get(file), after.broken.get(file)} <= {*BROKEN_FILES}:
                now = after.steady[protocol]
                assert (service.routes, service.subsets) == (now.routes, now.subsets)
