"""Whatever happened before: what is compiled depends on the mesh alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meltemi.protocols.model import (
    Destination,
    Dirty,
    Endpoint,
    Matcher,
    MatchKind,
    Mirror,
    RedisFault,
    RedisSettings,
    RedisUpstream,
    Ref,
    Route,
    Rule,
    Secret,
    SecretRef,
    Service,
    TrafficPolicy,
)
from meltemi.xds.resource import LISTENER
from tests import make

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from meltemi.protocols.compiler import Compiler

NAMES = ("cart", "shop", "stock")
NAMESPACES = ("default", "other")
VERSIONS = ("v1", "v2", "v3")
PROTOCOLS = ("dubbo", "thrift", "redis", "tcp", "gopher")
PORTS = (make.PORT, 6379)
EXPORTS = st.sampled_from([("*",), ("*",), (".",), ("other",), ("~",)])

GROUPS = (
    make.group(),
    make.group(rtds=False, proxy=make.capability("GenericProxy", "ThriftProxy", "RedisProxy")),
    make.group(namespace="other", services=[f"default/{make.host('cart')}"]),
    make.group(services=[make.host("shop"), make.host("cart")], bind="vip"),
)

services = st.builds(
    make.service,
    st.sampled_from(NAMES),
    st.sampled_from(PROTOCOLS),
    port=st.sampled_from(PORTS),
    kind=st.sampled_from(["Service", "ServiceEntry"]),
    addresses=st.sampled_from([(), ("10.96.0.1",), ("10.96.0.2", "10.96.0.3")]),
    export_to=EXPORTS,
)


@st.composite
def claimed(draw: st.DrawFn) -> Service:
    """A service whose host may be claimed from another namespace as well."""
    made = draw(services)
    owner = draw(st.sampled_from(NAMESPACES))
    ref = Ref(made.ref.kind, owner, made.ref.name)
    return replace(made, ref=ref, namespace=owner)


policies = st.builds(
    make.policy,
    st.sampled_from(NAMES),
    st.sampled_from(VERSIONS),
    st.sampled_from(VERSIONS),
    namespace=st.sampled_from(NAMESPACES),
    settings=st.sampled_from([TrafficPolicy(), TrafficPolicy(tls="SIMPLE")]),
    export_to=EXPORTS,
)
destinations = st.builds(
    Destination,
    st.sampled_from([make.host(name) for name in NAMES]),
    st.sampled_from([0, *PORTS]),
    st.sampled_from(["", "v1", "v2", "v3"]),
    st.sampled_from([20, 80]),
)
matchers = st.builds(
    Matcher,
    st.sampled_from([MatchKind.EXACT, MatchKind.PREFIX, *MatchKind]),
    st.sampled_from(["get", "set", "", "("]),
    st.just(0),
    st.just(9),
    st.sampled_from([False, False, True]),
)
matches = st.dictionaries(
    st.sampled_from(["method", "key", "service", "User"]), matchers, max_size=2
)
mirrors = st.lists(st.builds(Mirror, destinations, st.sampled_from([0.5, 100.0])), max_size=1)


@st.composite
def routes(draw: st.DrawFn, kind: str, namespace: str, name: str, index: int) -> Route:
    return Route(
        ref=Ref(kind, namespace, name, field=f"spec.routes[{index}]"),
        name=draw(st.sampled_from(["", "canary"])),
        match=draw(matches),
        destinations=tuple(draw(st.lists(destinations, max_size=3))),
        mirrors=tuple(draw(mirrors)),
        timeout=draw(st.sampled_from([None, 1.5])),
        remove_prefix=draw(st.booleans()),
    )


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    name, namespace = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMESPACES))
    kind = draw(st.sampled_from(["MetaRouter", "RedisService"]))
    return make.rule(
        *(draw(routes(kind, namespace, name, index)) for index in range(draw(st.integers(0, 3)))),
        kind=kind,
        name=name,
        namespace=namespace,
        of=draw(st.sampled_from(NAMES)),
        export_to=draw(EXPORTS),
    )


credentials = st.sampled_from(
    [None, SecretRef("default", "redis", Ref("RedisService", "default", "r", field="spec.auth"))]
)
redis_settings = st.builds(
    RedisSettings,
    st.sampled_from([Ref("RedisService", "default", name) for name in NAMES]),
    st.sampled_from([(make.host(name),) for name in NAMES]),
    credentials,
    faults=st.sampled_from([(), (RedisFault("ERROR", 50.0),)]),
)
upstreams = st.builds(
    RedisUpstream,
    st.sampled_from([Ref("RedisDestination", "default", name) for name in NAMES]),
    st.sampled_from([make.host(name) for name in NAMES]),
    credentials,
)
secrets = st.builds(
    Secret,
    st.just(Ref("Secret", "default", "redis")),
    st.sampled_from([{"password": "a"}, {"password": "b"}, {"token": "c"}]),
)
things: SearchStrategy[make.Thing] = st.one_of(
    claimed(), policies, rules(), redis_settings, upstreams, secrets
)


@st.composite
def placed(draw: st.DrawFn) -> Endpoint:
    ports = draw(st.sampled_from([{make.PORT: 8000}, {6379: 8001}, {make.PORT: 8000, 6379: 8001}]))
    return Endpoint(
        f"10.0.0.{draw(st.integers(1, 4))}",
        ports,
        {"version": draw(st.sampled_from(VERSIONS))},
        ready=draw(st.booleans()),
    )


Step: TypeAlias = "Callable[[make.Draft], Dirty]"


def put(thing: make.Thing) -> Step:
    return lambda draft: draft.put(thing)


def drop(thing: make.Thing) -> Step:
    return lambda draft: draft.drop(thing)


def place(at: Service, endpoints: list[Endpoint]) -> Step:
    return lambda draft: draft.place(at, *endpoints)


steps: SearchStrategy[Step] = st.one_of(
    things.map(put), things.map(drop), st.builds(place, claimed(), st.lists(placed(), max_size=3))
)
histories = st.lists(st.lists(steps, min_size=1, max_size=3), min_size=3, max_size=8)


def begun() -> make.Draft:
    """A mesh in which there is something to break."""
    draft = make.Draft()
    for name, protocol in zip(NAMES, PROTOCOLS, strict=False):
        made = make.service(name, protocol)
        draft.put(made)
        draft.put(make.policy(name))
        draft.place(made, *(make.endpoint(number, f"v{number}") for number in (1, 2)))
    both = make.to("v1", 80), make.to("v2", 20, name="cart")
    draft.put(
        make.rule(make.route(0, make.to("v1"), method=make.exact("get")), make.route(1, *both))
    )
    return draft


CLASHES = {"MEL0204", "MEL0208"}


def held(compiler: Compiler, *, listeners: bool) -> object:
    """What every group holds, and everything that is wrong; maybe without what depends on who had
    an address first: that alone is history, and on purpose (``claims.py``).
    """
    snapshots = {
        group.key: {
            key: found
            for key, found in make.resources(group.snapshot).items()
            if listeners or key.type_url != LISTENER
        }
        for group in compiler.groups()
    }
    told = [found for found in compiler.problems() if listeners or found.code not in CLASHES]
    return snapshots, told


def apply(draft: make.Draft, batch: list[Step]) -> Dirty:
    dirty = Dirty()
    for step in batch:
        dirty |= step(draft)
    return dirty


# An example compiles a dozen meshes.
slow = settings(
    max_examples=settings().max_examples // 3,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@slow
@given(histories)
def test_a_history_of_changes_gives_what_a_fresh_start_gives(history: list[list[Step]]) -> None:
    draft = begun()
    compiler = make.compiler(draft.mesh, *GROUPS)
    for batch in history:
        make.run(compiler.update(apply(draft, batch)))
    clash = any(problem.code in CLASHES for problem in compiler.problems())
    fresh = make.compiler(draft.mesh, *GROUPS)
    assert held(compiler, listeners=not clash) == held(fresh, listeners=not clash)


@slow
@given(histories)
def test_what_changed_is_exactly_what_differs(history: list[list[Step]]) -> None:
    draft = begun()
    compiler = make.compiler(draft.mesh, *GROUPS)
    for batch in history:
        before = {group.key: make.resources(group.snapshot) for group in compiler.groups()}
        for group in compiler.groups():
            group.take_changed()
        make.run(compiler.update(apply(draft, batch)))
        for group in compiler.groups():
            after = make.resources(group.snapshot)
            old = {key: found.version for key, found in before[group.key].items()}
            new = {key: found.version for key, found in after.items()}
            differs = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
            assert group.take_changed() == differs


@slow
@given(histories)
def test_every_name_in_a_snapshot_leads_to_a_resource_of_it(history: list[list[Step]]) -> None:
    draft = begun()
    for batch in history:
        apply(draft, batch)
    for group in make.compiler(draft.mesh, *GROUPS).groups():
        found = make.resources(group.snapshot)
        wanted = {name for resource in found.values() for name in resource.references}
        assert wanted <= found.keys()
        assert all(resource.origins for resource in found.values() if resource.name != "meltemi")


@slow
@given(histories)
def test_no_plugin_fails_on_anything_that_can_be_written(history: list[list[Step]]) -> None:
    draft = begun()
    for batch in history:
        apply(draft, batch)
    assert not make.compiler(draft.mesh, *GROUPS).failures
