"""A model proxy against a session, in any order of events, in both dialects.

A body ends with the clusters that it names: ``r=1ab`` names a and b.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from meltemi.testing.resources import ROUTE, RULES, cluster, endpoint, listener, route
from meltemi.testing.xds_client import DeltaConversation, Response, SotwConversation
from meltemi.xds.release import PATIENCE
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Key, Resource
from meltemi.xds.session import ANSWER_TIMEOUT, Nacked
from meltemi.xds.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable

TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
FULL_STATE = (CLUSTER, LISTENER)
GATED = (LISTENER, ROUTE)
DRAIN = 10.0

names = st.sampled_from("abc")
contents = st.sampled_from("123")


@dataclass
class Holding:
    """What the proxy has of one type: applied, and arrived but not answered yet."""

    asked: bool = False
    wanted: set[str] = field(default_factory=set[str])
    wildcard: bool = False
    applied: dict[str, str] = field(default_factory=dict[str, str])
    arrived: dict[str, str] = field(default_factory=dict[str, str])
    unanswered: list[tuple[Response, float]] = field(default_factory=list[tuple[Response, float]])
    answered: str = ""

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.wanted

    def forget_unwanted(self) -> None:
        for table in (self.applied, self.arrived):
            for name in [name for name in table if not self.wants(name)]:
                del table[name]


class ProxyMachine(RuleBasedStateMachine):
    """What both dialects share. The proxy applies a response when it answers it."""

    stream: SotwConversation | DeltaConversation

    def __init__(self) -> None:
        super().__init__()
        self.held = {type_url: Holding() for type_url in TYPES}
        self.nonces: set[str] = set()
        self.arrived_at: dict[str, float] = {}

    def open(self, snapshot: Snapshot) -> SotwConversation | DeltaConversation:
        raise NotImplementedError

    def apply(self, table: dict[str, str], response: Response) -> None:
        raise NotImplementedError

    def request(self, type_url: str, wanted: set[str]) -> None:
        raise NotImplementedError

    def missing(self, holding: Holding) -> dict[str, str]:
        """What a proxy holds for assignments that do not exist."""
        raise NotImplementedError

    # What users do

    @initialize(clusters=st.sets(names))
    def connect(self, clusters: set[str]) -> None:
        self.stream = self.open(Snapshot.of(each for name in clusters for each in pair(name)))

    @rule(name=names, content=contents)
    def set_cluster(self, name: str, content: str) -> None:
        self.stream.publish(*pair(name, content))

    @rule(name=names)
    def drop_cluster_and_who_names_it(self, name: str) -> None:
        gone = [Key(CLUSTER, name), Key(ENDPOINT, name)]
        gone += [
            parent.key
            for type_url in GATED
            for parent in self.stream.snapshot.of_type(type_url).values()
            if Key(CLUSTER, name) in parent.references
        ]
        self.stream.publish(removed=[key for key in gone if self.stream.snapshot.get(key)])

    @rule(name=names, content=contents)
    def set_endpoints(self, name: str, content: str) -> None:
        if self.stream.snapshot.get(Key(ENDPOINT, name)):
            self.stream.publish(endpoint(name, content))

    @rule(name=names, used=st.sets(names), content=contents, drop=st.booleans())
    def move_parents(self, name: str, used: set[str], content: str, *, drop: bool) -> None:
        """A listener and a route move to clusters, some of them new; unused ones may go."""
        exist = set(self.stream.snapshot.of_type(CLUSTER))
        text = content + "".join(sorted(used))
        moved = [listener(name, *used, content=text), route(name, *used, content=text)]
        moved += [each for target in used - exist for each in pair(target)]
        self.stream.publish(*moved, removed=self.unused(moved) if drop else ())

    def unused(self, moved: list[Resource]) -> list[Key]:
        after = self.stream.snapshot.replace({resource.key: resource for resource in moved})
        named = {
            key
            for kind in GATED
            for each in after.of_type(kind).values()
            for key in each.references
        }
        free = [name for name in after.of_type(CLUSTER) if Key(CLUSTER, name) not in named]
        return [Key(kind, name) for name in free for kind in (CLUSTER, ENDPOINT)]

    @rule(name=names, type_url=st.sampled_from(GATED))
    def drop_parent(self, name: str, type_url: str) -> None:
        if self.stream.snapshot.get(Key(type_url, name)):
            self.stream.publish(removed=[Key(type_url, name)])

    # What the proxy does

    @rule(type_url=st.sampled_from(TYPES), wanted=st.sets(names))
    def ask(self, type_url: str, wanted: set[str]) -> None:
        holding = self.held[type_url]
        if type_url in FULL_STATE and not holding.asked and not wanted:
            holding.wildcard = True
        holding.asked = True
        self.request(type_url, wanted)
        holding.forget_unwanted()

    @rule()
    def hear(self) -> None:
        for response in self.stream.hear():
            self.receive(response)
        deadline = self.stream.session.deadline()
        assert deadline is None or deadline > self.stream.now

    @rule(type_url=st.sampled_from(TYPES))
    def answer_one(self, type_url: str) -> None:
        if self.held[type_url].unanswered:
            self.answer(type_url)

    @rule()
    def answer_all(self) -> None:
        for type_url in TYPES:
            while self.held[type_url].unanswered:
                self.answer(type_url)

    @rule(seconds=st.sampled_from([0.25, 1.0, 3.0, DRAIN]))
    def wait(self, seconds: float) -> None:
        self.stream.now += seconds

    def receive(self, response: Response) -> None:
        holding = self.held[response.type_url]
        assert response.nonce not in self.nonces, "a nonce was used twice"
        self.nonces.add(response.nonce)
        now = self.stream.now
        recent = [each for each, sent in holding.unanswered if now - sent < ANSWER_TIMEOUT]
        assert not recent, "two responses of a type are unanswered"
        named = [name_of(body) for body in response.bodies] + list(response.removed)
        assert len(named) == len(set(named)), "a name twice in one response"
        before = dict(holding.arrived)
        self.apply(holding.arrived, response)
        holding.unanswered.append((response, now))
        if response.type_url == CLUSTER:
            self.no_cluster_goes_while_it_is_named(before.keys() - holding.arrived.keys())
            for name in holding.arrived:
                self.arrived_at.setdefault(name, now)
        if response.type_url in GATED:
            self.new_clusters_are_settled_before_they_are_named(response)

    def no_cluster_goes_while_it_is_named(self, gone: Iterable[str]) -> None:
        for name in gone:
            self.arrived_at.pop(name, None)
            for type_url in GATED:
                for parent, content in self.held[type_url].arrived.items():
                    if self.stream.snapshot.get(Key(type_url, parent)):
                        assert name not in content, f"{parent} still names cluster {name}"

    def new_clusters_are_settled_before_they_are_named(self, response: Response) -> None:
        clusters = self.held[CLUSTER]
        if not clusters.wildcard:
            return  # who asks for clusters by name does so because a route named them
        for body in response.bodies:
            for name in body.decode().partition("=")[2][1:]:
                if name in clusters.applied:
                    continue
                waited = self.stream.now - self.arrived_at.get(name, self.stream.now)
                assert waited >= PATIENCE, f"{body!r} came before cluster {name}"

    def answer(self, type_url: str) -> None:
        holding = self.held[type_url]
        response, _ = holding.unanswered.pop(0)
        holding.answered = response.nonce
        self.apply(holding.applied, response)
        holding.forget_unwanted()
        for event in self.stream.ack(response):
            assert not isinstance(event, Nacked)

    # What must be true in the end

    def teardown(self) -> None:
        if not hasattr(self, "stream"):
            return
        self.come_to_rest()
        for type_url, holding in self.held.items():
            table = self.stream.snapshot.of_type(type_url)
            expected = {
                name: content_of(resource.body)
                for name, resource in table.items()
                if holding.wants(name)
            }
            if type_url == ENDPOINT:
                expected = self.missing(holding) | expected
            if type_url == ROUTE:  # xDS has no way to take those back
                stale = {name: "" for name in holding.applied if name not in table}
                assert holding.applied.keys() - stale.keys() == expected.keys()
                expected |= {name: holding.applied[name] for name in stale}
            assert holding.applied == expected, type_url

    def come_to_rest(self) -> None:
        """Time passes and everything is answered until nobody has anything to say."""
        for _ in range(50):
            self.answer_all()
            self.hear()
            if any(holding.unanswered for holding in self.held.values()):
                continue
            deadline = self.stream.session.deadline()
            if deadline is None:
                return
            self.stream.now = deadline
        raise AssertionError("the session never comes to rest")


class SotwMachine(ProxyMachine):
    """State of the world."""

    def open(self, snapshot: Snapshot) -> SotwConversation:
        return SotwConversation(RULES, snapshot, drain=DRAIN)

    def request(self, type_url: str, wanted: set[str]) -> None:
        holding = self.held[type_url]
        if wanted:
            holding.wildcard = False
        holding.wanted = wanted
        self.stream.ask(type_url, *sorted(wanted), nonce=holding.answered)

    def apply(self, table: dict[str, str], response: Response) -> None:
        if response.type_url in FULL_STATE:
            table.clear()
        table.update({name_of(body): content_of(body) for body in response.bodies})

    def missing(self, holding: Holding) -> dict[str, str]:
        return dict.fromkeys(holding.wanted, "")


class DeltaMachine(ProxyMachine):
    """Incremental."""

    def open(self, snapshot: Snapshot) -> DeltaConversation:
        return DeltaConversation(RULES, snapshot, drain=DRAIN)

    def request(self, type_url: str, wanted: set[str]) -> None:
        holding = self.held[type_url]
        assert isinstance(self.stream, DeltaConversation)
        self.stream.ask(type_url, *sorted(wanted - holding.wanted), drop=holding.wanted - wanted)
        holding.wanted = wanted

    def apply(self, table: dict[str, str], response: Response) -> None:
        for name in response.removed:
            table.pop(name, None)
        for name, body in zip(response.names, response.bodies, strict=True):
            assert name == name_of(body)
            table[name] = content_of(body)

    def missing(self, holding: Holding) -> dict[str, str]:
        return {}


def pair(name: str, content: str = "1") -> Iterable[Resource]:
    """A cluster and its assignment."""
    return cluster(name, content), endpoint(name)


def name_of(body: bytes) -> str:
    return body.decode().partition("=")[0]


def content_of(body: bytes) -> str:
    return body.decode().partition("=")[2]


@pytest.mark.parametrize("machine", [SotwMachine, DeltaMachine], ids=["sotw", "delta"])
def test_a_proxy_ends_with_exactly_what_it_asked_for(machine: type[ProxyMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=30))
