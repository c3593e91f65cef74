"""Whether a plugin keeps its contract: one call for the tests of whoever writes a plugin.

Each engine is tried with services and rules of its own, through the whole frame. What is asked of
it is what the frame relies on: the same scope gives the same answer, nothing that an engine
declares is missing from what it emits, and no route is lost without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from meltemi.protocols.api import (
    ANY_OTHER,
    Capability,
    Compiled,
    Emitted,
    Engine,
    Names,
    ResolvedRoute,
    Scope,
    Target,
)
from meltemi.protocols.compiler import Compiler
from meltemi.protocols.encode import encode
from meltemi.protocols.group import GroupKey
from meltemi.protocols.model import (
    Application,
    Destination,
    DestinationPolicy,
    Endpoint,
    Matcher,
    MatchKind,
    Mesh,
    Mirror,
    Mutation,
    Port,
    Ref,
    Route,
    Rule,
    Service,
    Subset,
)
from meltemi.protocols.problem import CODES
from meltemi.protocols.registry import Registered, Registry
from meltemi.xds.resource import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import betterproto2
    from envoy_data_plane.envoy.config.listener.v3 import Filter

    from meltemi.protocols.api import Attribute, ProtocolPlugin
    from meltemi.protocols.problem import Problem

HOST, PORT = "checked.example", 7000
ENTRY = Ref("ServiceEntry", "default", "checked")
ROUTER = Ref("MetaRouter", "default", "checked")
NEW_ENOUGH = (1000, 0)
"""No engine asks for a newer Envoy."""

SAMPLES: Mapping[MatchKind, tuple[Matcher, Matcher]] = {
    MatchKind.EXACT: (Matcher(MatchKind.EXACT, "one"), Matcher(MatchKind.EXACT, "two")),
    MatchKind.PREFIX: (Matcher(MatchKind.PREFIX, "one"), Matcher(MatchKind.PREFIX, "two")),
    MatchKind.SUFFIX: (Matcher(MatchKind.SUFFIX, "one"), Matcher(MatchKind.SUFFIX, "two")),
    MatchKind.REGEX: (Matcher(MatchKind.REGEX, "one.+"), Matcher(MatchKind.REGEX, "two.+")),
    MatchKind.RANGE: (
        Matcher(MatchKind.RANGE, start=1, end=4),
        Matcher(MatchKind.RANGE, start=1, end=7),
    ),
}
"""Two matchers of a kind that decide differently. Of presence there is one only."""


def check(plugin: ProtocolPlugin) -> None:
    """Hold a plugin against its contract.

    Raises:
        AssertionError: with a sentence for each breach.
    """
    if found := [*breaches(plugin)]:
        listed = "\n".join(f"- {sentence}" for sentence in found)
        raise AssertionError(f"the plugin {plugin.name!r} breaks its contract:\n{listed}")


def breaches(plugin: ProtocolPlugin) -> Iterator[str]:
    """What ``check`` finds, a sentence each."""
    yield from _of_names(plugin)
    yield from _of_attributes(plugin)
    for engine in plugin.engines:
        yield from dict.fromkeys(f"{engine.name}: {found}" for found in _of_engine(plugin, engine))


# -- what is declared -----------------------------------------------------------------------------


def _of_names(plugin: ProtocolPlugin) -> Iterator[str]:
    if not re.fullmatch("[a-z][a-z0-9]*", plugin.name):
        yield f"no port can be named tcp-{plugin.name}: use lower-case letters and digits"
    if not plugin.engines:
        yield "it has no engine"
    earlier: list[Engine] = []
    for engine in plugin.engines:
        for better in earlier:
            if better.name == engine.name:
                yield f"two engines are called {engine.name}"
            elif _chosen_before(better, engine):
                yield f"{engine.name} is never chosen: whatever has it has {better.name}, too"
        earlier.append(engine)


def _chosen_before(better: Engine, engine: Engine) -> bool:
    return (
        better.requires <= engine.requires
        and better.since <= engine.since
        and better.tls == engine.tls
        and (engine.applications or not better.applications)
    )


def _of_attributes(plugin: ProtocolPlugin) -> Iterator[str]:
    for name, attribute in plugin.attributes.items():
        if not attribute.description:
            yield f"the attribute {name!r} has no description"
        if not any(_matched(engine, name) for engine in plugin.engines):
            yield f"no engine declares how it matches the attribute {name!r}"


def _matched(engine: Engine, name: str) -> frozenset[MatchKind]:
    return engine.matches.get(name, engine.matches.get(ANY_OTHER, frozenset()))


def _of_declaration(plugin: ProtocolPlugin, engine: Engine) -> Iterator[str]:
    if not engine.requires:
        yield "it requires nothing of a proxy: every proxy would be taken to have it"
    for url in engine.requires:
        if "/" in url:
            yield f"it requires {url!r}: proxies list types without {PREFIX!r}"
    if engine.route_type and not engine.route_type.startswith(PREFIX):
        yield f"its route type {engine.route_type!r} does not begin with {PREFIX!r}"
    used = {*engine.matches, *(engine.inverts or ()), *frozenset[str]().union(*engine.exclusive)}
    for name in sorted(used):
        if name not in plugin.attributes and ANY_OTHER not in plugin.attributes:
            yield f"it declares {name!r}, which is no attribute of the plugin"


# -- one compilation ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Watched:
    """The plugin with one engine; what it was asked and what it answered is noted."""

    plugin: ProtocolPlugin
    engines: tuple[Engine, ...]
    noted: list[tuple[Scope, Compiled]] = field(default_factory=list[tuple[Scope, Compiled]])

    @property
    def name(self) -> str:
        return self.plugin.name

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        return self.plugin.attributes

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        compiled = self.plugin.compile(scope, engine)
        self.noted.append((scope, compiled))
        return compiled


@dataclass(frozen=True, slots=True)
class _Trial:
    """What became of some routes. ``raised`` instead, where the frame got nothing from it."""

    scope: Scope | None = None
    compiled: Compiled = field(default_factory=Compiled)
    raised: str = ""

    @property
    def served(self) -> tuple[ResolvedRoute, ...]:
        """The routes that the plugin was given and has not said that it leaves out."""
        left_out = {problem.about for problem in self.compiled.problems if problem.unserved}
        routes = self.scope.routes if self.scope else ()
        return tuple(route for route in routes if route.route.ref not in left_out)

    def has(self, *routes: Route) -> bool:
        """Whether all of these are served: the frame or the plugin may refuse a sample."""
        return {route.ref for route in routes} <= {each.route.ref for each in self.served}


def _trial(plugin: ProtocolPlugin, engine: Engine, *routes: Route) -> _Trial:
    """Compile a service, with a rule if there are routes, for a proxy that has this engine."""
    watched = _Watched(plugin, (engine,))
    compiler = Compiler(
        Registry([Registered(watched, "checked", "")]),
        _mesh(plugin, engine, routes),
        allowed=frozenset({engine.name}),
    )
    target = Target(Capability(engine.requires, NEW_ENOUGH), rtds=True)
    for _ in compiler.open(GroupKey(target)):
        pass
    if raised := [*compiler.failures.values()]:
        return _Trial(raised=raised[0])
    scope, compiled = watched.noted[-1]
    return _Trial(scope, compiled)


def _mesh(plugin: ProtocolPlugin, engine: Engine, routes: tuple[Route, ...]) -> Mesh:
    application = plugin.name if engine.applications else ""
    port = Port(PORT, f"tcp-{plugin.name}", plugin.name, ENTRY, application, tls=engine.tls)
    subsets = tuple(Subset(name, {"version": name}, ENTRY) for name in ("v1", "v2"))
    codec = Application(Ref("ApplicationProtocol", "default", "checked"), plugin.name, "checked")
    return Mesh(
        services={HOST: (Service(ENTRY, HOST, "default", (port,)),)},
        endpoints={("default", HOST): (Endpoint("127.0.0.1", {PORT: PORT}),)},
        rules={HOST: (Rule(ROUTER, (HOST,), routes),)} if routes else {},
        policies={HOST: (DestinationPolicy(ENTRY, HOST, subsets=subsets),)},
        applications={plugin.name: (codec,)} if engine.applications else {},
    )


def _route(index: int, subset: str, match: Mapping[str, Matcher] | None = None) -> Route:
    to = (Destination(HOST, PORT, subset),)
    return Route(ROUTER.at(f"spec.routes[{index}]"), match=match or {}, destinations=to)


# -- what one engine emits ------------------------------------------------------------------------


def _of_engine(plugin: ProtocolPlugin, engine: Engine) -> Iterator[str]:
    yield from _of_declaration(plugin, engine)
    plain = _trial(plugin, engine)
    if plain.raised:
        yield f"it raises for a service without a rule:\n{plain.raised}"
        return
    yield from _of_answer(plugin, engine, plain)
    everything = _route(0, "v1")
    yield from _of_answer(plugin, engine, _trial(plugin, engine, everything))
    yield from _of_matches(plugin, engine)
    yield from _of_policies(plugin, engine, everything)
    yield from _of_order(plugin, engine)


def _of_answer(plugin: ProtocolPlugin, engine: Engine, trial: _Trial) -> Iterator[str]:
    """What holds of every answer, whatever was asked."""
    if trial.raised or trial.scope is None:
        yield f"it raises:\n{trial.raised}"
        return
    if _said(plugin.compile(trial.scope, engine)) != _said(trial.compiled):
        yield "the same scope does not give the same answer twice"
    yield from _of_route_table(engine, trial.scope.names, trial.compiled)
    yield from _of_problems(trial.compiled.problems)
    if not trial.compiled.locked:
        yield from _of_clusters(trial)


def _of_route_table(engine: Engine, names: Names, compiled: Compiled) -> Iterator[str]:
    table = compiled.route_table
    if compiled.locked or (table is None and not engine.route_type):
        return
    if table is None:
        yield f"it declares routes of type {engine.route_type}, and answers without a route table"
    elif not engine.route_type:
        yield "it answers with a route table, and declares no route type"
    elif getattr(table.message, "name", None) != names.route_config:
        yield "its route table is not named scope.names.route_config: no proxy would ask for it"


def _of_problems(problems: tuple[Problem, ...]) -> Iterator[str]:
    for problem in problems:
        if problem.code not in CODES:
            yield f"the problem code {problem.code!r} is not in the catalogue"
        if not (problem.about.kind and problem.about.name):
            yield f"a problem {problem.code} is about no object: users could not find it"
        if not (problem.cause and problem.next_step):
            yield f"a problem {problem.code} lacks its cause or the next step"


def _of_clusters(trial: _Trial) -> Iterator[str]:
    """Every route leads somewhere, and who names a cluster says so, and for which route."""
    emitted = [(each, encode(each.message)) for each in _emitted(trial.compiled)]
    whole = b"".join(body for _, body in emitted)
    own = trial.scope.names.cluster if trial.scope else ""
    for route in trial.served:
        where = route.route.ref.field or "the service's own route"
        if route.cluster.encode() not in whole:
            yield f"{where} leads nowhere, and no problem with `unserved` says so"
        for name in (route.cluster, *(mirror.cluster for mirror in route.mirrors)):
            # The statistics' prefix is called like the service's own cluster.
            users = [each for each, body in emitted if name != own and name.encode() in body]
            if any(name not in each.clusters for each in users):
                yield "a message names a cluster that its `clusters` lack: it could arrive first"
            if any(route.route.ref not in each.origins for each in users):
                yield f"what serves {where} does not have the route among its `origins`"


def _emitted(compiled: Compiled) -> Iterator[Emitted[Filter] | Emitted[betterproto2.Message]]:
    yield from compiled.filters
    for chain in compiled.chains:
        yield from chain.filters
    if compiled.route_table is not None:
        yield compiled.route_table


def _bodies(compiled: Compiled) -> tuple[bytes, ...]:
    return tuple(encode(each.message) for each in _emitted(compiled))


def _said(compiled: Compiled) -> tuple[object, ...]:
    """Everything in an answer that reaches a proxy or a user."""
    described = [(each.clusters, each.origins) for each in _emitted(compiled)]
    names = [chain.server_names for chain in compiled.chains]
    options = compiled.cluster
    extra = {name: encode(message) for name, message in options.protocol_options.items()}
    rest = (extra, dict(compiled.runtime), compiled.hosts, compiled.locked, compiled.problems)
    return _bodies(compiled), described, names, replace(options, protocol_options={}), *rest


# -- whether what is declared arrives -------------------------------------------------------------


def _of_matches(plugin: ProtocolPlugin, engine: Engine) -> Iterator[str]:
    for name, kinds in engine.matches.items():
        attribute = "other" if name == ANY_OTHER else name
        for kind in sorted(kinds, key=lambda each: each.value):
            variants = SAMPLES.get(kind, (Matcher(kind),))
            if engine.inverts is None or attribute in engine.inverts:
                variants = (*variants, replace(variants[0], inverted=True))
            routes = [_route(0, "v1", {attribute: matcher}) for matcher in variants]
            trials = [_trial(plugin, engine, route) for route in routes]
            for trial in trials:
                yield from _of_answer(plugin, engine, trial)
            emitted = [_bodies(each.compiled) for each in trials if each.has(routes[0])]
            if len(set(emitted)) < len(emitted):
                what = f"{attribute!r} by {kind.value}"
                yield f"the match of {what} is not in what it emits: other requests would pass"


def _of_policies(plugin: ProtocolPlugin, engine: Engine, route: Route) -> Iterator[str]:
    """A policy that an engine has makes a difference; one that it lacks never gets here."""
    copy = Destination(HOST, PORT, "v2")
    for has, name, one, other in (
        (engine.timeouts, "timeout", replace(route, timeout=1.0), replace(route, timeout=2.0)),
        (
            engine.retries,
            "number of retries",
            replace(route, attempts=1),
            replace(route, attempts=2),
        ),
        (engine.removes_prefix, "removal of a prefix", route, replace(route, remove_prefix=True)),
        (
            engine.mutations,
            "mutation",
            replace(route, request_mutations=(Mutation("user", "one"),)),
            replace(route, request_mutations=(Mutation("user", "two"),)),
        ),
        (
            engine.mirrors,
            "mirror",
            replace(route, mirrors=(Mirror(copy, 25.0),)),
            replace(route, mirrors=(Mirror(copy, 75.0),)),
        ),
    ):
        trials = [_trial(plugin, engine, each) for each in (one, other)] if has else []
        for trial in trials:
            yield from _of_answer(plugin, engine, trial)
        said = [(_bodies(trial.compiled), dict(trial.compiled.runtime)) for trial in trials]
        if trials and said[0] == said[1]:
            yield f"it declares that it applies a route's {name}, which is not in what it emits"


def _of_order(plugin: ProtocolPlugin, engine: Engine) -> Iterator[str]:
    """Of two routes, the first that matches decides, so they keep their order."""
    pair = _two_matches(engine)
    if pair is None:
        return
    routes = _route(0, "v1", pair[0]), _route(1, "v2", pair[1])
    trials = [_trial(plugin, engine, *order) for order in (routes, routes[::-1])]
    for trial, order in zip(trials, (routes, routes[::-1]), strict=True):
        yield from _of_answer(plugin, engine, trial)
        whole = b"".join(_bodies(trial.compiled))
        places = {each.route.ref: whole.find(each.cluster.encode()) for each in trial.served}
        turned = trial.has(*routes) and places[order[0].ref] > places[order[1].ref]
        # Where the order makes no difference, an engine decides by something else.
        if turned and _bodies(trials[0].compiled) != _bodies(trials[1].compiled):
            yield "it does not keep the order of routes: the first that matches must decide"


def _two_matches(engine: Engine) -> tuple[dict[str, Matcher], dict[str, Matcher]] | None:
    for name, kinds in engine.matches.items():
        attribute = "other" if name == ANY_OTHER else name
        for kind in sorted(kinds & SAMPLES.keys(), key=lambda each: each.value):
            one, two = SAMPLES[kind]
            return {attribute: one}, {attribute: two}
    return None
