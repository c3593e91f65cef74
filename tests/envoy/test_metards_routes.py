"""MetaRDS tables hold what ``explain`` says: as HTTP routes, which they are, in a real Envoy.

No build of Aeraki's proxy is at hand. It tests attributes with Envoy's own header matchers, so an
HTTP connection manager that has its route tables decides as it does; each route answers with the
name of its cluster.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest

from meltemi.controller.proto_json import decode
from meltemi.protocols.explain import decide
from meltemi.protocols.meta_protocol_proxy import meta_protocol_engine
from meltemi.protocols.model import Matcher, MatchKind, Ref, Route, Rule
from meltemi.protocols.naming import ClusterName, parse_cluster
from meltemi.testing.envoy import Envoy
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import LOOPBACK
from tests import make

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

    from meltemi.protocols.group import Group

pytestmark = pytest.mark.envoy

RULES, REQUESTS = 80, 12
PORT = 20880
METARDS = meta_protocol_engine({}, mutations=True).route_type
OWN, ERROR = "", "error"
SUBSETS = ("v1", "v2", "v3")

NAMES = ("method", "interface", "user", "tenant")
VALUES = ("", "bob", "bobby", "b", "7", "-7", "12", "bób", "BOB")
PATTERNS = ("bob", "b.*", ".*", "", "(bob|7)?", "[0-9]+", "b.b", "(?i)bob", "(", "^b")
KINDS = [MatchKind.EXACT, *MatchKind]


def drawn_matcher(random: Random) -> Matcher:
    kind = random.choice(KINDS)
    value = random.choice(PATTERNS if kind is MatchKind.REGEX else VALUES)
    start = random.choice([-8, 0, 7])
    return Matcher(kind, value, start, random.choice([0, 8, 13]), random.random() < 0.35)


def drawn_rule(random: Random, number: int) -> Rule:
    ref = Ref("MetaRouter", "default", f"rule-{number:02}")
    routes: list[Route] = []
    for index in range(random.randint(1, 5)):
        match = {name: drawn_matcher(random) for name in random.sample(NAMES, random.randint(0, 2))}
        to = make.to(random.choice(SUBSETS), name=ref.name)
        routes.append(Route(ref.at(f"spec.routes[{index}]"), "", match, (to,)))
    return Rule(ref, (make.host(ref.name),), tuple(routes))


def compiled(rules: Sequence[Rule], version: str) -> Group:
    """What a proxy of Aeraki's, with that version of Envoy, gets for these rules."""
    key = make.group(proxy=make.capability("GenericProxy", version=make.minor(version)))
    draft = make.Draft()
    for rule in rules:
        service = make.service(rule.ref.name, port=PORT)
        port = replace(service.ports[0], application="dubbo")
        draft.put(replace(service, ports=(port,)))
        draft.put(make.policy(rule.ref.name, *SUBSETS))
        draft.put(rule)
    return make.compiler(draft.mesh, key).group(key)


def virtual_hosts(group: Group) -> Iterator[dict[str, Any]]:
    """The route tables as one, a domain each, with answers in place of clusters."""
    for name, resource in group.snapshot.of_type(METARDS).items():
        table = cast("dict[str, Any]", decode(METARDS, resource.body))
        (host,) = table["virtualHosts"]
        for route in host["routes"]:
            cluster = route.pop("route")["cluster"]
            route["directResponse"] = {"status": 200, "body": {"inlineString": cluster}}
        yield {**host, "name": name, "domains": [name.rpartition("_")[0]]}


@dataclass(frozen=True, slots=True)
class Caller:
    """One connection to the Envoy."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def cluster_of(self, host: str, request: Mapping[str, str]) -> str:
        """The cluster that a request with these attributes is routed to, or ``error``."""
        lines = ["GET / HTTP/1.1", f"host: {host}"]
        lines += [f"{name}: {value}" for name, value in request.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        size = re.search(r"content-length: (\d+)", head)
        body = await self.reader.readexactly(int(size[1]) if size else 0)
        return body.decode() if head.startswith("HTTP/1.1 200") else ERROR


@asynccontextmanager
async def routing(hosts: Sequence[dict[str, Any]], version: str) -> AsyncGenerator[Caller]:
    """An Envoy that routes HTTP requests by these tables."""
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
        "HttpConnectionManager",
        "statPrefix": "http",
        "routeConfig": {"virtualHosts": hosts},
        "httpFilters": [
            {
                "name": "envoy.filters.http.router",
                "typedConfig": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    listener = {
        "name": "http",
        "address": {"socketAddress": {"address": LOOPBACK, "portValue": 0}},
        "filterChains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typedConfig": manager,
                    }
                ]
            }
        ],
    }
    bootstrap = {"staticResources": {"listeners": [listener]}}
    async with Envoy(bootstrap, version=version) as envoy:
        await envoy.wait_ready()
        at = (await envoy.listeners())["http"]
        reader, writer = await asyncio.open_connection(at.host, at.port)
        try:
            yield Caller(reader, writer)
        finally:
            writer.close()


def expected(group: Group, rule: Rule, request: Mapping[str, str]) -> str:
    """The subset that ``explain`` says, or ``error``; no subset when no route is left."""
    (key,) = group.hosts[rule.hosts[0]]
    piece = group.piece(key)
    assert piece is not None
    if all(route.ref in piece.unserved for route in rule.routes):
        return OWN
    envoy = group.key.target.capability.version
    found = decide(rule.routes, request, piece.unserved, envoy=envoy).route
    return ERROR if found is None else found.destinations[0].subset


def subset(cluster: str) -> str:
    if cluster == ERROR:
        return ERROR
    name = parse_cluster(cluster)
    assert isinstance(name, ClusterName)
    return name.subset


def told(rule: Rule, request: Mapping[str, str]) -> str:
    """A disagreement for people."""
    lines = [f"  {dict(route.match)} -> {route.destinations[0].subset}" for route in rule.routes]
    return "\n".join([f"{dict(request)} by", *lines])


@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_a_route_table_decides_as_explain_says(version: str) -> None:
    random = Random(7)
    rules = [drawn_rule(random, number) for number in range(RULES)]
    group = compiled(rules, version)
    wrong: list[str] = []
    seen: set[str] = set()
    async with routing([*virtual_hosts(group)], version) as caller:
        for rule in rules:
            for _ in range(REQUESTS):
                request = {name: random.choice(VALUES) for name in NAMES if random.random() < 0.6}
                said = expected(group, rule, request)
                done = subset(await caller.cluster_of(rule.hosts[0], request))
                if said != done:
                    wrong.append(f"explain {said}, Envoy {done}: {told(rule, request)}")
                seen.add(done)
    assert not wrong, f"{len(wrong)} of {RULES * REQUESTS}\n" + "\n".join(wrong[:8])
    assert seen == {*SUBSETS, OWN, ERROR}
