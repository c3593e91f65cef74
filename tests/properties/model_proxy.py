"""A proxy as the specification describes it, against a session in memory, in either dialect.

A body ends with the clusters that it names: ``r=1ab`` names a and b. One whose content begins with
``!`` is bad, and the proxy refuses the response that carries it. As Envoy does, it then applies the
other listeners or clusters, but nothing of other types (what is taken away is gone in any case).
It names the bad ones of listeners and clusters only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meltemi.testing.resources import ROUTE, RULES
from meltemi.testing.xds_client import (
    Conversation,
    DeltaConversation,
    Response,
    SotwConversation,
    delta_request,
    sotw_request,
)
from meltemi.xds.release import PATIENCE
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Key, TypeUrl
from meltemi.xds.session import ANSWER_TIMEOUT, Acked, Nacked
from meltemi.xds.status import TypeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meltemi.xds.resource import Resource
    from meltemi.xds.session import Event
    from meltemi.xds.snapshot import Snapshot

TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
FULL_STATE = (CLUSTER, LISTENER)
GATED = (LISTENER, ROUTE)
DRAIN = 10.0
BAD = "!"


@dataclass
class Holding:
    """What the proxy has of one type. ``named``: on this stream something was named, so that no
    names mean nothing. ``applied`` is in force; ``arrived`` also what is not answered yet.
    """

    asked: bool = False
    named: bool = False
    wildcard: bool = False
    wanted: frozenset[str] = frozenset()
    applied: dict[str, str] = field(default_factory=dict[str, str])
    arrived: dict[str, str] = field(default_factory=dict[str, str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    version: str = ""
    unanswered: list[tuple[Response, float]] = field(default_factory=list[tuple[Response, float]])
    refused: set[str] = field(default_factory=set[str])
    answered: str = ""
    answers: int = 0

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.wanted

    def want(self, wanted: frozenset[str], *, wildcard: bool) -> None:
        self.wanted, self.wildcard = wanted, wildcard
        self.forget_unwanted()

    def forget_unwanted(self) -> None:
        for table in (self.applied, self.arrived, self.versions):
            for name in [name for name in table if not self.wants(name)]:
                del table[name]


class ModelProxy:
    """What both dialects share. It applies a response when it answers it.

    ``orderly``: it does not drop clusters that it may need, and did not refuse some of the first
    that it got, of which the server cannot know what it has instead. Then make before break holds.
    """

    stream: Conversation

    def __init__(self, snapshot: Snapshot) -> None:
        self.held = {type_url: Holding() for type_url in TYPES}
        self.now = 0.0
        self.connect(snapshot)

    # What the dialects do differently

    def open(self, snapshot: Snapshot) -> Conversation:
        raise NotImplementedError

    def request(
        self, type_url: TypeUrl, wanted: frozenset[str], nonce: str, *, wildcard: bool
    ) -> bytes:
        """The request of somebody who wants this from now on, on a stream that goes on."""
        raise NotImplementedError

    def first_request(self, type_url: TypeUrl, names: list[str]) -> bytes:
        """The first request of a stream, with what is left of an earlier one."""
        raise NotImplementedError

    def reply(self, response: Response, error: str | None) -> bytes:
        raise NotImplementedError

    def apply(self, table: dict[str, str], bodies: Mapping[str, str], response: Response) -> None:
        """Put what is in a response into force, or these bodies of it."""
        raise NotImplementedError

    # Connecting

    def connect(self, snapshot: Snapshot) -> None:
        self.stream = self.open(snapshot)
        self.stream.now = self.now
        self.known = {type_url: TypeStatus() for type_url in TYPES}
        self.nonces: set[str] = set()
        self.arrived_at: dict[str, float] = {}
        self.orderly = True

    def reconnect(self, order: Iterable[TypeUrl]) -> None:
        """The stream breaks; the proxy comes again with what it holds."""
        self.connect(self.stream.snapshot)
        for holding in self.held.values():
            holding.unanswered.clear()
            holding.answered, holding.answers = "", 0
            holding.arrived = self.remembered(holding)
        self.orderly = self.claims_what_it_holds()
        for type_url in order:
            holding = self.held[type_url]
            if not holding.wildcard and not holding.wanted:
                holding.asked, holding.named, holding.version = False, False, ""
            if holding.asked:
                names = sorted(holding.wanted) + ["*"] * (holding.wildcard and holding.named)
                self.say(self.first_request(type_url, names))

    def remembered(self, holding: Holding) -> dict[str, str]:
        """What the server can know that the proxy holds when it comes again."""
        raise NotImplementedError

    def claims_what_it_holds(self) -> bool:
        """Whether it has the clusters that its first request makes the server believe it has."""
        return True

    # Talking

    def say(self, raw: bytes) -> tuple[Event, ...]:
        """Send a request; what is known of the proxy follows what the session makes of it."""
        events = self.stream.send(raw)
        for event in events:
            self.known[event.type_url].fold(event, self.now)
        return events

    def ask(self, type_url: TypeUrl, wanted: frozenset[str], *, wildcard: bool) -> None:
        """Want exactly this from now on."""
        holding = self.held[type_url]
        naming = wildcard or bool(wanted)
        if type_url == CLUSTER and holding.asked:
            self.orderly = False
        if not holding.named and not naming and type_url in FULL_STATE:
            wildcard = True
        raw = self.request(type_url, wanted, holding.answered, wildcard=wildcard and naming)
        holding.asked, holding.named = True, holding.named or naming
        holding.want(wanted, wildcard=wildcard)
        self.say(raw)

    def hear(self) -> None:
        for response in self.stream.hear():
            self.receive(response)
        deadline = self.stream.session.deadline()
        assert deadline is None or deadline > self.stream.now

    def answer_all(self) -> None:
        for type_url in TYPES:
            while self.held[type_url].unanswered:
                self.answer(type_url)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.stream.now = self.now

    def receive(self, response: Response) -> None:
        holding = self.held[response.type_url]
        assert response.nonce not in self.nonces, "a nonce was used twice"
        self.nonces.add(response.nonce)
        recent = [each for each, sent in holding.unanswered if self.now - sent < ANSWER_TIMEOUT]
        assert not recent, "two responses of a type are unanswered"
        named = [*bodies_of(response), *response.removed]
        assert len(named) == len(response.bodies) + len(response.removed), "a name twice"
        assert len(named) == len(set(named)), "a name both sent and removed"
        before = dict(holding.arrived)
        self.apply(holding.arrived, bodies_of(response), response)
        holding.unanswered.append((response, self.now))
        if response.type_url == CLUSTER:
            self.no_cluster_goes_while_it_is_named(before.keys() - holding.arrived.keys())
            for name in holding.arrived:
                self.arrived_at.setdefault(name, self.now)
        if response.type_url in GATED:
            self.new_clusters_are_settled_before_they_are_named(response)

    def no_cluster_goes_while_it_is_named(self, gone: Iterable[str]) -> None:
        for name in gone:
            self.arrived_at.pop(name, None)
            for type_url in GATED if self.orderly else ():
                for parent, content in self.held[type_url].arrived.items():
                    if self.stream.snapshot.get(Key(type_url, parent)):
                        assert name not in content, f"{parent} still names cluster {name}"

    def new_clusters_are_settled_before_they_are_named(self, response: Response) -> None:
        clusters = self.held[CLUSTER]
        if not clusters.wildcard or not self.orderly:
            return  # who asks for clusters by name does so because a route named them
        for parent, content in bodies_of(response).items():
            for name in content[1:]:
                if name in clusters.applied:
                    continue
                waited = self.now - self.arrived_at.get(name, self.now)
                assert waited >= PATIENCE, f"{parent} came before cluster {name}"

    def answer(self, type_url: TypeUrl) -> None:
        """Apply the oldest unanswered response, and accept or refuse it."""
        holding = self.held[type_url]
        response, _ = holding.unanswered.pop(0)
        holding.answered = response.nonce
        bodies = bodies_of(response)
        bad = {name for name, content in bodies.items() if content.startswith(BAD)}
        whole = bad and type_url not in FULL_STATE
        refused = {name for name, content in bodies.items() if content} if whole else bad
        accepted = {
            name: holding.applied[name] if name in refused else content
            for name, content in bodies.items()
            if name not in refused or name in holding.applied
        }
        self.apply(holding.applied, accepted, response)
        holding.refused = (holding.refused - bodies.keys()) | refused
        if type_url == CLUSTER and bad and not holding.answers:
            self.orderly = False
        holding.answers += 1
        if not bad:
            holding.version = response.version
        versions = dict(zip(response.names, response.versions, strict=True))
        holding.versions |= {name: versions[name] for name in versions if name not in refused}
        for name in response.removed:
            holding.versions.pop(name, None)
        holding.forget_unwanted()
        events = self.say(self.reply(response, complaint(type_url, sorted(bad))))
        expected = Nacked if bad else Acked
        assert [type(event) for event in events] == [expected], events

    # What is true in the end

    def catch_up(self) -> None:
        """Hear and answer until nothing is due at this time."""
        for _ in range(20):
            self.hear()
            if not any(holding.unanswered for holding in self.held.values()):
                return
            self.answer_all()
        raise AssertionError("the session always has something to say")

    def come_to_rest(self) -> None:
        """Time passes and everything is answered until nobody has anything to say."""
        for _ in range(20):
            self.catch_up()
            deadline = self.stream.session.deadline()
            if deadline is None:
                return
            self.wait(deadline - self.now)
        raise AssertionError("the session never comes to rest")

    def has_all_that_is_good(self) -> None:
        """Whatever it refused: it lacks only what is bad, or waits for something bad, and nothing
        else is accused.
        """
        for type_url, wanted in self.should_hold().items():
            refusals = self.known[type_url].refusals
            accused = {name for refusal in refusals for name in refusal.names}
            for name, content in wanted.items():
                if content.startswith(BAD) or Key(type_url, name) in self.stream.session.held:
                    continue
                assert self.held[type_url].applied.get(name) == content, f"{name} is not in force"
                assert name not in accused, f"{name} is good"

    def holds(self) -> dict[TypeUrl, dict[str, str]]:
        """What is in force, without what stands for nothing: empty assignments, and what was taken
        away without a way to say so.
        """
        return {
            type_url: {
                name: content
                for name, content in holding.applied.items()
                if content and not (self.keeps_for_ever(type_url) and self.is_gone(type_url, name))
            }
            for type_url, holding in self.held.items()
        }

    def keeps_for_ever(self, type_url: TypeUrl) -> bool:
        """Whether nobody tells a proxy that a resource of this type is gone."""
        return type_url == ROUTE

    def is_gone(self, type_url: TypeUrl, name: str) -> bool:
        return name not in self.stream.snapshot.of_type(type_url)

    def should_hold(self) -> dict[TypeUrl, dict[str, str]]:
        """What its subscriptions select of the snapshot."""
        return {
            type_url: {
                name: content_of(resource)
                for name, resource in self.stream.snapshot.of_type(type_url).items()
                if holding.wants(name)
            }
            for type_url, holding in self.held.items()
        }


class SotwProxy(ModelProxy):
    """State of the world."""

    def open(self, snapshot: Snapshot) -> Conversation:
        return SotwConversation(RULES, snapshot, drain=DRAIN)

    def request(
        self, type_url: TypeUrl, wanted: frozenset[str], nonce: str, *, wildcard: bool
    ) -> bytes:
        names = [*sorted(wanted), *["*"] * wildcard]
        return sotw_request(type_url, names, version=self.held[type_url].version, nonce=nonce)

    def first_request(self, type_url: TypeUrl, names: list[str]) -> bytes:
        return sotw_request(type_url, names, version=self.held[type_url].version)

    def reply(self, response: Response, error: str | None) -> bytes:
        holding = self.held[response.type_url]
        explicit = holding.wildcard and holding.named
        names = [*sorted(holding.wanted), *["*"] * explicit]
        return sotw_request(
            response.type_url, names, version=holding.version, nonce=response.nonce, error=error
        )

    def apply(self, table: dict[str, str], bodies: Mapping[str, str], response: Response) -> None:
        if response.type_url in FULL_STATE:
            table.clear()
        table.update(bodies)

    def remembered(self, holding: Holding) -> dict[str, str]:
        return {}

    def claims_what_it_holds(self) -> bool:
        # A version is of all clusters, also for who asked for some: whoever asks for all of them
        # then, and comes again before it got them, says that it has them.
        clusters, snapshot = self.held[CLUSTER], self.stream.snapshot
        same = clusters.version == snapshot.version(CLUSTER)
        return not same or clusters.applied.keys() >= snapshot.of_type(CLUSTER).keys()

    def keeps_for_ever(self, type_url: TypeUrl) -> bool:
        # Of what it did not name, a new stream cannot say that it is gone.
        unnamed = type_url == ENDPOINT and self.held[ENDPOINT].wildcard
        return unnamed or super().keeps_for_ever(type_url)


class DeltaProxy(ModelProxy):
    """Incremental."""

    def open(self, snapshot: Snapshot) -> Conversation:
        return DeltaConversation(RULES, snapshot, drain=DRAIN)

    def request(
        self, type_url: TypeUrl, wanted: frozenset[str], nonce: str, *, wildcard: bool
    ) -> bytes:
        holding = self.held[type_url]
        implied = not holding.named and not wildcard and not wanted
        added, dropped = wanted - holding.wanted, holding.wanted - wanted
        if wildcard and not holding.wildcard:
            added |= {"*"}
        if holding.wildcard and not wildcard and not implied:
            dropped |= {"*"}
        return delta_request(type_url, sorted(added), sorted(dropped), nonce=nonce)

    def first_request(self, type_url: TypeUrl, names: list[str]) -> bytes:
        return delta_request(type_url, names, initial=self.held[type_url].versions)

    def reply(self, response: Response, error: str | None) -> bytes:
        return delta_request(response.type_url, nonce=response.nonce, error=error)

    def apply(self, table: dict[str, str], bodies: Mapping[str, str], response: Response) -> None:
        for name in response.removed:
            table.pop(name, None)
        table.update(bodies)

    def remembered(self, holding: Holding) -> dict[str, str]:
        return dict(holding.applied)


def bodies_of(response: Response) -> dict[str, str]:
    """Contents by name."""
    pairs = (body.decode().partition("=") for body in response.bodies)
    return {name: content for name, _, content in pairs}


def content_of(resource: Resource) -> str:
    return resource.body.decode().partition("=")[2]


def complaint(type_url: TypeUrl, bad: list[str]) -> str | None:
    """What Envoy says of resources that it refuses."""
    if not bad:
        return None
    if type_url == CLUSTER:
        return f"Error adding/updating cluster(s) {', '.join(f'{name}: why' for name in bad)}"
    if type_url == LISTENER:
        return f"Error adding/updating listener(s) {chr(10).join(f'{name}: why' for name in bad)}"
    return "something is wrong"
