"""Random changes of a world: what people do to their rules in a year, in a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from tests.churn.world import (
    BROKEN_FILES,
    BROKEN_ROUTES,
    DEAD,
    LIVE,
    SIDE_PROTOCOLS,
    SIDES,
    VERSIONS,
    Routing,
    Side,
    Steady,
    World,
    rules_file,
)

if TYPE_CHECKING:
    from random import Random

Change: TypeAlias = Callable[[World, "Random", "Care"], World]


@dataclass(frozen=True, slots=True)
class Care:
    """What must not happen to services with traffic while nobody watches over it.

    ``hosts``: endpoints only come, none that answers goes. ``clusters``: none disappears.
    """

    hosts: bool = False
    clusters: bool = False


def step(world: World, chance: Random, care: Care) -> tuple[str, World]:
    """A change, and the world after it, which differs."""
    while True:
        change = chance.choices([*CHANGES], weights=[*CHANGES.values()])[0]
        if care.clusters and change in REMOVING:
            continue
        after = change(world, chance, care)
        if after != world:
            return change.__name__, after


def repaired(world: World) -> World:
    """Nothing is broken any more."""
    return replace(world, broken={})


# Services with traffic


def endpoints(world: World, chance: Random, care: Care) -> World:
    """Each version has other endpoints, often all of them."""
    service = _one(world, chance)
    dead = frozenset(name for name in service.listed if name in DEAD)
    kept: set[str] = set(service.listed) if care.hosts else set()
    for version in VERSIONS:
        mine = [name for name in LIVE if name.startswith(version)]
        before = [name for name in mine if name in service.listed]
        moved = chance.random() < 0.5
        kept.update(chance.sample(mine, chance.randint(1, len(mine))) if moved else before)
    return world.with_steady(replace(service, listed=frozenset(kept) | dead))


def exchange(world: World, chance: Random, care: Care) -> World:
    """All servers of a version are replaced by others at once."""
    service, version = _one(world, chance), chance.choice(VERSIONS)
    mine = {name for name in LIVE if name.startswith(version)}
    others = mine - service.listed
    if care.hosts or not others:
        return world
    return world.with_steady(replace(service, listed=(service.listed - mine) | others))


def dead_endpoint(world: World, chance: Random, _: Care) -> World:
    """An endpoint comes or goes that nobody serves, where servers are checked."""
    service = world.steady[chance.choice(["dubbo", "thrift"])]
    return world.with_steady(
        replace(service, listed=service.listed ^ frozenset({chance.choice(DEAD)}))
    )


def weights(world: World, chance: Random, _: Care) -> World:
    """Other shares for the same destinations."""
    service = _readable(world, chance)
    routes = tuple(
        replace(routing, weights=_weighed([version for version, _ in routing.weights], chance))
        for routing in service.routes
    )
    return world.with_steady(replace(service, routes=routes))


def routes(world: World, chance: Random, _: Care) -> World:
    """Another rule, often with routes of another name, which are other clusters."""
    service = _readable(world, chance)
    found = [_routing(chance.choice(["all", "canary", "blue", "green"]), chance)]
    if service.protocol != "tcp" and chance.random() < 0.4:
        method = chance.choice(["hello", "other"])
        found.insert(0, replace(_routing(f"of-{method}", chance), method=method))
    return _if_answered(world, replace(service, routes=tuple(found)))


def no_rule(world: World, chance: Random, _: Care) -> World:
    """A rule disappears."""
    return world.with_steady(replace(_readable(world, chance), routes=()))


def subsets(world: World, chance: Random, _: Care) -> World:
    """A subset comes or goes, whether a route uses it or not."""
    service = _readable(world, chance)
    missing = sorted(set(VERSIONS) - service.subsets)
    back = missing and chance.random() < 0.8  # else hardly any rule could be served
    other = service.subsets ^ frozenset({chance.choice(missing if back else VERSIONS)})
    return _if_answered(world, replace(service, subsets=other))


def redis_mirror(world: World, chance: Random, _: Care) -> World:
    """Another part of the writes is copied."""
    redis = replace(world.redis, mirror=chance.choice([None, 0, 10, 50, 50, 90, 100]))
    return replace(world, redis=redis)


def redis_prefixes(world: World, chance: Random, _: Care) -> World:
    """Keys move to another server, or back."""
    prefix = chance.choice(["hello:", "other:", "seen:"])
    prefixes = world.redis.prefixes ^ frozenset({prefix})
    return replace(world, redis=replace(world.redis, prefixes=prefixes))


def redis_timeout(world: World, chance: Random, _: Care) -> World:
    """A setting of the listener."""
    return replace(world, redis=replace(world.redis, timeout=chance.choice([0, 20, 40])))


# Services that come and go


def side_comes(world: World, chance: Random, _: Care) -> World:
    """A service appears, or is another one at once: other protocol, other endpoints."""
    number = chance.choice(SIDES)
    protocol = chance.choice(SIDE_PROTOCOLS)
    listed = frozenset(chance.sample(LIVE, chance.choice([0, 1, 1, 2, 3])))
    return replace(world, sides={**world.sides, number: Side(protocol, listed)})


def side_protocol(world: World, chance: Random, _: Care) -> World:
    """A service speaks another protocol on the same port."""
    return _changed_side(world, chance, protocol=chance.choice(SIDE_PROTOCOLS))


def side_endpoints(world: World, chance: Random, _: Care) -> World:
    """A service has other endpoints, or none."""
    listed = frozenset(chance.sample(LIVE, chance.choice([0, 1, 2, 3])))
    return _changed_side(world, chance, listed=listed)


def side_goes(world: World, chance: Random, _: Care) -> World:
    """A service disappears."""
    number = chance.choice(SIDES)
    return replace(world, sides={at: side for at, side in world.sides.items() if at != number})


# Mistakes


def breaks(world: World, chance: Random, _: Care) -> World:
    """A rule is written wrongly, in one of many ways."""
    file = rules_file(chance.choice([*world.steady, "redis"]))
    whole = [at for at, how in world.broken.items() if how in BROKEN_FILES]
    ways = [*BROKEN_ROUTES, *(BROKEN_FILES if len(whole) < len(world.steady) - 1 else ())]
    how = chance.choice(ways)
    return replace(world, broken={**world.broken, file: how})


def repairs(world: World, chance: Random, _: Care) -> World:
    """One of them is put right."""
    if not world.broken:
        return world
    file = chance.choice([*world.broken])
    return replace(world, broken={at: how for at, how in world.broken.items() if at != file})


CHANGES: dict[Change, int] = {
    endpoints: 5,
    exchange: 3,
    dead_endpoint: 2,
    weights: 6,
    routes: 6,
    no_rule: 1,
    subsets: 3,
    redis_mirror: 4,
    redis_prefixes: 1,
    redis_timeout: 1,
    side_comes: 3,
    side_protocol: 1,
    side_endpoints: 3,
    side_goes: 2,
    breaks: 4,
    repairs: 5,
}
"""How often each is drawn."""

REMOVING = frozenset[Change]({routes, no_rule, subsets, breaks, repairs})
"""Those that may remove a cluster that services with traffic use."""


def _one(world: World, chance: Random) -> Steady:
    return world.steady[chance.choice([*world.steady])]


def _if_answered(world: World, service: Steady) -> World:
    """Unless calls that no method's route takes would be refused, as such a rule wants it."""
    used = {version for version, _ in service.routes[-1].weights} if service.routes else set[str]()
    refused = len(service.routes) > 1 and not used <= service.subsets
    return world if refused else world.with_steady(service)


def _readable(world: World, chance: Random) -> Steady:
    """A service whose rules can be read. Of a file that is broken at its end a part may be in
    force, and this part must go with the rest that was.
    """
    able = [
        service
        for service in world.steady.values()
        if world.broken.get(rules_file(service.protocol)) not in BROKEN_FILES
    ]
    return chance.choice(able)


def _routing(name: str, chance: Random) -> Routing:
    return Routing(name, _weighed(chance.sample(VERSIONS, chance.randint(1, 3)), chance))


def _weighed(versions: list[str], chance: Random) -> tuple[tuple[str, int], ...]:
    if len(versions) == 1:
        return ((versions[0], 100),)
    cuts = sorted(chance.sample(range(1, 100), len(versions) - 1))
    shares = [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]
    return tuple(zip(sorted(versions), shares, strict=True))


def _changed_side(
    world: World, chance: Random, *, protocol: str = "", listed: frozenset[str] | None = None
) -> World:
    if not world.sides:
        return world
    number = chance.choice([*world.sides])
    side = world.sides[number]
    side = replace(
        side,
        protocol=protocol or side.protocol,
        listed=side.listed if listed is None else listed,
    )
    return replace(world, sides={**world.sides, number: side})
