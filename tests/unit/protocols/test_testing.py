"""``check``: our own plugins pass it, and every way to break the contract is found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.api import ANY_OTHER, STRINGS, Attribute, Compiled, Engine, Scope
from meltemi.protocols.model import Matcher, MatchKind, Ref
from meltemi.protocols.problem import Problem
from meltemi.protocols.testing import breaches, check
from meltemi.protocols.thrift import THRIFT_PROXY, Thrift
from tests import make

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from meltemi.protocols.api import ProtocolPlugin, ResolvedMirror
    from meltemi.protocols.registry import Registered


@pytest.mark.parametrize("registered", [*make.registry()], ids=lambda each: each.plugin.name)
def test_a_plugin_of_ours_keeps_the_contract(registered: Registered) -> None:
    check(registered.plugin)


def as_it_is(scope: Scope) -> Scope:
    """Nothing is changed."""
    return scope


def unchanged(compiled: Compiled) -> Compiled:
    """Nothing is changed."""
    return compiled


SOUND = replace(
    THRIFT_PROXY,
    matches={"method": frozenset({MatchKind.EXACT}), ANY_OTHER: frozenset({MatchKind.REGEX})},
    exclusive=(),
)
"""With less to try: each plugin here is tried as a whole."""
ATTRIBUTES = {name: Thrift.attributes[name] for name in ("method", ANY_OTHER)}


@dataclass(frozen=True, slots=True)
class Altered:
    """Thrift's plugin, which is sound, with something changed."""

    given: Callable[[Scope], Scope] = as_it_is
    answered: Callable[[Compiled], Compiled] = unchanged
    engines: tuple[Engine, ...] = (SOUND,)
    name: str = "altered"
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: ATTRIBUTES)

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        return self.answered(Thrift().compile(self.given(scope), THRIFT_PROXY))


def test_the_plugin_that_the_others_here_are_made_of_is_sound() -> None:
    check(Altered())


def engine(**changes: object) -> tuple[Engine, ...]:
    return (replace(SOUND, **changes),)  # type: ignore[arg-type]


DECLARED: dict[str, ProtocolPlugin] = {
    "no port can be named tcp-my-protocol": Altered(name="my-protocol"),
    "it has no engine": Altered(engines=()),
    "two engines are called thrift_proxy": Altered(engines=engine() * 2),
    "spare is never chosen: whatever has it has thrift_proxy, too": Altered(
        engines=engine() + engine(name="spare")
    ),
    "the attribute 'method' has no description": Altered(
        attributes={**ATTRIBUTES, "method": Attribute("")}
    ),
    "no engine declares how it matches the attribute 'key'": Altered(
        attributes={"key": Attribute("A key.")}, engines=engine(matches={})
    ),
    "it requires nothing of a proxy": Altered(engines=engine(requires=frozenset[str]())),
    "it requires 'type.googleapis.com/a.B'": Altered(
        engines=engine(requires=frozenset({"type.googleapis.com/a.B"}))
    ),
    "its route type 'a.B' does not begin with": Altered(engines=engine(route_type="a.B")),
    "it declares 'service', which is no attribute": Altered(
        attributes={"method": Attribute("A method.")},
        engines=engine(matches={"method": STRINGS}, inverts=frozenset({"service"})),
    ),
}


@pytest.mark.parametrize("sentence", DECLARED)
def test_a_wrong_declaration_is_found(sentence: str) -> None:
    assert sentence in "\n".join(breaches(DECLARED[sentence]))


def raising(_: Scope) -> Scope:
    raise RuntimeError("out of order")


def raising_for_rules(scope: Scope) -> Scope:
    return raising(scope) if scope.rule else scope


def renamed(scope: Scope) -> Scope:
    return replace(scope, names=replace(scope.names, route_config="mine"))


def without_last(scope: Scope) -> Scope:
    routes = scope.routes[:-1] if len(scope.routes) > 1 else scope.routes
    return replace(scope, routes=routes)


def reversed_routes(scope: Scope) -> Scope:
    return replace(scope, routes=scope.routes[::-1])


def to_itself(scope: Scope) -> Scope:
    routes = (replace(route, cluster=scope.names.cluster) for route in scope.routes)
    return replace(scope, routes=tuple(routes))


def mirrored_fully(scope: Scope) -> Scope:
    def fully(mirror: ResolvedMirror) -> ResolvedMirror:
        return replace(mirror, mirror=replace(mirror.mirror, percentage=100.0))

    routes = (replace(each, mirrors=tuple(map(fully, each.mirrors))) for each in scope.routes)
    return replace(scope, routes=tuple(routes))


def matching(change: Callable[[Matcher], Matcher | None]) -> Callable[[Scope], Scope]:
    """With every matcher changed, or left out."""

    def given(scope: Scope) -> Scope:
        routes = list(scope.routes)
        for index, each in enumerate(routes):
            changed = {name: change(matcher) for name, matcher in each.route.match.items()}
            kept = {name: matcher for name, matcher in changed.items() if matcher is not None}
            routes[index] = replace(each, route=replace(each.route, match=kept))
        return replace(scope, routes=tuple(routes))

    return given


def table(**changes: object) -> Callable[[Compiled], Compiled]:
    def answered(compiled: Compiled) -> Compiled:
        assert compiled.route_table is not None
        return replace(compiled, route_table=replace(compiled.route_table, **changes))  # type: ignore[arg-type]

    return answered


def with_problem(code: str, about: Ref, cause: str) -> Callable[[Compiled], Compiled]:
    problem = Problem(code, about, cause, "correct it")
    return lambda compiled: replace(compiled, problems=(problem,))


def counting() -> Callable[[Compiled], Compiled]:
    """It answers each time with the number of its answers."""
    answers = count()
    return lambda compiled: replace(compiled, runtime={"answers": next(answers)})


SHOP = Ref("Service", "default", "shop")
ANSWERED: dict[str, ProtocolPlugin] = {
    "it raises for a service without a rule:\nTraceback": Altered(raising),
    "it raises:\nTraceback": Altered(raising_for_rules),
    "the same scope does not give the same answer twice": Altered(answered=counting()),
    "and answers without a route table": Altered(
        answered=lambda compiled: replace(compiled, route_table=None)
    ),
    "its route table is not named scope.names.route_config": Altered(renamed),
    "the problem code 'ZOO1' is not in the catalogue": Altered(
        answered=with_problem("ZOO1", SHOP, "it is")
    ),
    "a problem MEL0307 is about no object": Altered(
        answered=with_problem("MEL0307", Ref("", "", ""), "it is")
    ),
    "a problem MEL0307 lacks its cause": Altered(answered=with_problem("MEL0307", SHOP, "")),
    "spec.routes[1] leads nowhere": Altered(without_last),
    "spec.routes[0] leads nowhere": Altered(to_itself),
    "a message names a cluster that its `clusters` lack": Altered(
        answered=table(clusters=frozenset[str]())
    ),
    "spec.routes[0] does not have the route among its `origins`": Altered(
        answered=table(origins=())
    ),
    "the match of 'method' by exact is not in what it emits": Altered(
        matching(lambda matcher: None)
    ),
    "the match of 'other' by regex is not in what it emits": Altered(
        matching(lambda matcher: replace(matcher, inverted=False))
    ),
    "a route's mirror, which is not in what it emits": Altered(mirrored_fully),
    "it does not keep the order of routes": Altered(reversed_routes),
    "a route's timeout, which is not in what it emits": Altered(engines=engine(timeouts=True)),
    "a route's number of retries, which is not": Altered(engines=engine(retries=True)),
    "a route's mutation, which is not in": Altered(engines=engine(mutations=True)),
    "a route's removal of a prefix, which is": Altered(engines=engine(removes_prefix=True)),
}


@pytest.mark.parametrize("sentence", ANSWERED)
def test_a_wrong_answer_is_found(sentence: str) -> None:
    assert sentence in "\n".join(breaches(ANSWERED[sentence]))


def test_a_route_that_is_left_out_with_a_word_is_no_breach() -> None:
    second = Ref("MetaRouter", "default", "checked", field="spec.routes[1]")

    def without_second(scope: Scope) -> Scope:
        kept = (route for route in scope.routes if route.route.ref != second)
        return replace(scope, routes=tuple(kept))

    def answered(compiled: Compiled) -> Compiled:
        problem = Problem("MEL0306", second, "it cannot be", "remove it", unserved=True)
        return replace(compiled, problems=(problem,))

    check(Altered(without_second, answered))


def test_a_plugin_that_orders_routes_by_its_own_rules_alone_is_no_breach() -> None:
    def by_cluster(scope: Scope) -> Scope:
        ordered = sorted(scope.routes, key=lambda route: route.cluster)
        return replace(scope, routes=tuple(ordered))

    def sorted_origins(compiled: Compiled) -> Compiled:
        assert compiled.route_table is not None
        origins = tuple(sorted(compiled.route_table.origins))
        return table(origins=origins)(compiled)

    kinds = {ANY_OTHER: frozenset({MatchKind.PREFIX})}
    check(Altered(by_cluster, sorted_origins, engine(matches=kinds)))


def test_check_says_everything_at_once() -> None:
    with pytest.raises(AssertionError) as caught:
        check(Altered(renamed, name="my-protocol"))
    assert "no port can be named tcp-my-protocol" in str(caught.value)
    assert "its route table is not named" in str(caught.value)
