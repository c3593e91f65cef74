"""What ``explain`` says is what Envoy does: random rules, real calls, each answer compared.

All rule sets of a protocol are served at once, each to a host and a port of its own, and lead to
the subsets of one service, each with a real server that tells its name.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Protocol, TypeAlias

import pytest

from meltemi.protocols.explain import decide
from meltemi.protocols.model import (
    Destination,
    Endpoint,
    Matcher,
    MatchKind,
    Ref,
    Route,
    Rule,
)
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.dubbo_wire import Status
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import Address
from meltemi.testing.redis_connection import RedisConnection, RedisRefusedError
from meltemi.testing.thrift import AsyncThriftClient, ThriftCallError, ThriftServer
from meltemi.testing.valkey import Valkey
from tests import make
from tests.abilities import Seen, saw
from tests.envoy.serving import BIND, Served, served

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from meltemi.protocols.group import Group, GroupKey


pytestmark = pytest.mark.envoy

RULES, REQUESTS = 60, 12
SERVERS = ("v1", "v2", "v3")
OWN = "own"
"""The server of the ruled hosts themselves: where requests go when no route is left."""
ERROR = "error"
FIRST_PORT = 20_000
TARGET = make.host("target")
KINDS = [MatchKind.EXACT, *MatchKind]

Request: TypeAlias = dict[str, str]
Ask: TypeAlias = "Callable[[Request], Awaitable[str]]"


class Server(Protocol):
    """A real server; its answers tell its name."""

    @property
    def address(self) -> Address: ...


@dataclass(frozen=True, slots=True)
class Speech:
    """How a protocol is called, and what its rules and calls are drawn from.

    ``request`` draws a call's attributes, ``match`` what a rule may say of them.
    """

    serve: Callable[[str], AbstractAsyncContextManager[Server]]
    connect: Callable[[Address], AbstractAsyncContextManager[Ask]]
    request: Callable[[Random], Request]
    matcher: Callable[[Random, str], Matcher]
    names: Sequence[str]


# -- rules and requests ---------------------------------------------------------------------------

VALUES = ("", "bob", "bobby", "b", "7", "-7", " 7", "12", "b\nb", "bób", "BOB")
PATTERNS = ("bob", "b.*", ".*", "", "(bob|7)?", "[0-9]+", "b.b", "(?i)bob", "b(?s:.)b", "(", "^b")


def any_matcher(random: Random, name: str) -> Matcher:
    """Every kind, often inverted, with values that requests have."""
    kind = random.choice(KINDS)
    value = random.choice(PATTERNS if kind is MatchKind.REGEX else VALUES)
    start = random.choice([-8, 0, 7])
    return Matcher(kind, value, start, random.choice([0, 8, 13]), random.random() < 0.35)


def maybe(random: Random, *names: str) -> Request:
    """Some of these attributes, with any values."""
    return {name: random.choice(VALUES) for name in names if random.random() < 0.6}


def drawn_rule(random: Random, speech: Speech, number: int) -> Rule:
    """Up to five routes, the last of which often matches everything."""
    ref = Ref("MetaRouter", "default", f"rule-{number:02}")
    routes: list[Route] = []
    for index in range(random.randint(1, 5)):
        names = random.sample(speech.names, random.randint(1, 2))
        match = {name: speech.matcher(random, name) for name in names}
        to = Destination(TARGET, make.PORT, random.choice(SERVERS))
        routes.append(Route(ref.at(f"spec.routes[{index}]"), "", match, (to,)))
    if random.random() < 0.5:
        to = Destination(TARGET, make.PORT, random.choice(SERVERS))
        routes.append(Route(ref.at("spec.routes[9]"), "", {}, (to,)))
    return Rule(ref, (make.host(ref.name),), tuple(routes))


# -- protocols ------------------------------------------------------------------------------------

DUBBO_FIELDS = {"interface", "method", "version", "group"}


@asynccontextmanager
async def dubbo(address: Address) -> AsyncGenerator[Ask]:
    async with await DubboClient.open(address) as client:

        async def ask(request: Request) -> str:
            response = await client.call(
                request["interface"],
                request["method"],
                version=request.get("version", ""),
                group=request.get("group", ""),
                attachments={k: v for k, v in request.items() if k not in DUBBO_FIELDS},
            )
            return str(response.value) if response.status == Status.OK else ERROR

        yield ask


def dubbo_request(random: Random) -> Request:
    called = {"interface": random.choice(["bob", "bobby"]), "method": random.choice(VALUES)}
    # Consumers send no empty group, and an empty version is none.
    stated = {name: value for name, value in maybe(random, "version", "group").items() if value}
    return called | stated | maybe(random, "user", "Tenant")


@asynccontextmanager
async def thrift(address: Address) -> AsyncGenerator[Ask]:
    async with await AsyncThriftClient.open(address) as client:

        async def ask(request: Request) -> str:
            headers = {k: v for k, v in request.items() if k not in {"method", "service"}}
            try:
                answer = await client.call(request["method"], "ann", headers)
            except ThriftCallError:
                return ERROR
            return answer.partition(":")[0]

        yield ask


def thrift_request(random: Random) -> Request:
    method = random.choice(["bob", "bobby", "b", "7"])
    multiplexed = random.choice([None, "bob", "bobby"])
    called = {"method": method}
    if multiplexed is not None:
        called = {"method": f"{multiplexed}:{method}", "service": multiplexed}
    return called | maybe(random, "user", "tenant")


def thrift_matcher(random: Random, name: str) -> Matcher:
    if name in {"method", "service"} and random.random() < 0.8:
        value = random.choice(["", "bob", "bobby", "bob:b", "bob:"])
        return Matcher(MatchKind.EXACT, value, inverted=random.random() < 0.35)
    return any_matcher(random, name)


KEYS = ("", "a", "a:", "a:b", "a:b:c", "b", "B", "ä", "a:ä", "c" * 40)


@asynccontextmanager
async def redis(address: Address) -> AsyncGenerator[Ask]:
    async with await RedisConnection.open(address) as client:

        async def ask(request: Request) -> str:
            try:
                return str(await client.ask("GET", request["key"]))
            except RedisRefusedError:
                return ERROR

        yield ask


@asynccontextmanager
async def valkey(name: str) -> AsyncGenerator[Valkey]:
    """A server in which every key tells the server's name."""
    async with Valkey() as server:
        for key in KEYS:
            await server.ask("SET", key, name)
        yield server


def key_matcher(random: Random, name: str) -> Matcher:
    kind = random.choice([*KINDS, *[MatchKind.PREFIX] * 20])
    return Matcher(kind, random.choice(KEYS), 0, 9, random.random() < 0.05)


SPEECHES = {
    "dubbo": Speech(
        DubboServer,
        dubbo,
        dubbo_request,
        any_matcher,
        ("interface", "method", "version", "group", "user", "user", "Tenant"),
    ),
    "thrift": Speech(
        ThriftServer,
        thrift,
        thrift_request,
        thrift_matcher,
        ("method", "service", "user", "user", "tenant"),
    ),
    "redis": Speech(
        valkey, redis, lambda random: {"key": random.choice(KEYS)}, key_matcher, ("key", "key")
    ),
}


# -- what is served -------------------------------------------------------------------------------


def key_of(version: str, without: str) -> GroupKey:
    """Proxies of that version of Envoy, but for an engine."""
    proxy = make.capability(*filter(None, [without]), version=make.minor(version))
    return make.group(bind=BIND, proxy=proxy)


def expected(group: Group, rule: Rule, request: Mapping[str, str]) -> str:
    """Who answers, as ``explain`` says."""
    (key,) = group.hosts[rule.hosts[0]]
    piece = group.piece(key)
    assert piece is not None
    if all(route.ref in piece.unserved for route in rule.routes):
        return OWN
    envoy = group.key.target.capability.version
    found = decide(rule.routes, request, piece.unserved, envoy=envoy).route
    return ERROR if found is None else found.destinations[0].subset


def told(rule: Rule, request: Mapping[str, str]) -> str:
    """A disagreement for people."""
    lines = [f"  {dict(route.match)} -> {route.destinations[0].subset}" for route in rule.routes]
    return "\n".join([f"{dict(request)} by", *lines])


async def until_healthy(on: Served) -> None:
    """Wait until every endpoint has passed its check: an endpoint that has not is no decision."""

    async def healthy() -> bool:
        stats = await on.envoy.stats("cluster.")
        unhealthy = (
            total != stats[name.replace("membership_total", "membership_healthy")]
            for name, total in stats.items()
            if name.endswith(".membership_total")
        )
        return not any(unhealthy)

    await on.envoy.process.wait_until(healthy, "find every endpoint healthy", 20.0)


@asynccontextmanager
async def ruled(
    protocol: str, rules: Sequence[Rule], version: str, without: str
) -> AsyncGenerator[tuple[Group, Served]]:
    """An Envoy with all rules, and every server that they lead to."""
    draft, target = make.Draft(), make.service("target", protocol)
    async with AsyncExitStack() as closing:
        at = {
            name: (await closing.enter_async_context(SPEECHES[protocol].serve(name))).address
            for name in (*SERVERS, OWN)
        }
        draft.put(target)
        draft.put(make.policy("target", *SERVERS))
        draft.place(target, *(endpoint(at[name], make.PORT, name) for name in SERVERS))
        for number, rule in enumerate(rules):
            port = FIRST_PORT + number
            service = make.service(rule.ref.name, protocol, port=port)
            service = replace(service, allows=frozenset({"dubbo_proxy"}))
            draft.put(service)
            draft.put(rule)
            draft.place(service, endpoint(at[OWN], port, OWN))
        key = key_of(version, without)
        group = make.compiler(draft.mesh, key).group(key)
        on = await closing.enter_async_context(served(group.snapshot, version=version))
        await on.envoy.wait_ready()
        assert on.answers.nacked == []
        yield group, on


def endpoint(at: Address, port: int, version: str) -> Endpoint:
    return Endpoint(at.host, {port: at.port}, {"version": version})


@pytest.mark.parametrize("version", ENVOY_VERSIONS)
@pytest.mark.parametrize(
    ("protocol", "without"), [*((name, "") for name in SPEECHES), ("dubbo", "generic_proxy")]
)
async def test_envoy_decides_as_explain_says(protocol: str, without: str, version: str) -> None:
    speech, random = SPEECHES[protocol], Random(7)
    rules = [drawn_rule(random, speech, number) for number in range(RULES)]
    wrong: list[str] = []
    seen: set[str] = set()
    async with ruled(protocol, rules, version, without) as (group, on):
        await until_healthy(on)
        for number, rule in enumerate(rules):
            async with speech.connect(Address(BIND, FIRST_PORT + number)) as ask:
                for _ in range(REQUESTS):
                    request = speech.request(random)
                    if without == "generic_proxy" and not request["method"]:
                        continue  # dubbo_proxy takes no call without a method for one
                    said, done = expected(group, rule, request), await ask(request)
                    if said != done:
                        await until_healthy(on)
                        done = await ask(request)
                    if said != done:
                        wrong.append(f"explain {said}, Envoy {done}: {told(rule, request)}")
                    seen.add(done)
        assert not wrong, f"{len(wrong)} of {RULES * REQUESTS}\n" + "\n".join(wrong[:8])
        assert seen == {*SERVERS, OWN, ERROR}
        await saw(on.envoy, protocol, Seen.MATCHES)
