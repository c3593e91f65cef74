"""Two model proxies, one for each dialect, against sessions, in any order of events."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from meltemi.testing.resources import ROUTE, cluster, endpoint, listener, route
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Key, Resource, content_version
from meltemi.xds.snapshot import Snapshot
from tests.conformance.scenarios_answers import (
    a_refusal_is_the_end,
    what_was_refused_is_repeated,
)
from tests.conformance.scenarios_isolation import (
    the_good_neighbours_are_forgotten,
    what_is_refused_alone_is_repeated_for_ever,
)
from tests.conformance.scenarios_lifecycle import nothing_is_held
from tests.conformance.scenarios_reconnect import what_went_during_a_reconnect_is_not_told
from tests.conformance.scenarios_sotw import (
    new_names_wait_for_a_change,
    what_was_asked_for_once_is_known,
)
from tests.properties.model_proxy import (
    BAD,
    DRAIN,
    FULL_STATE,
    GATED,
    TYPES,
    DeltaProxy,
    ModelProxy,
    SotwProxy,
    content_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conformance.scenario import Mutant

names = st.sampled_from("abc")
contents = st.sampled_from(f"123{BAD}")


class Proxies(RuleBasedStateMachine):
    """Everything that happens, happens to both."""

    proxies: tuple[ModelProxy, ...] = ()

    @property
    def snapshot(self) -> Snapshot:
        return self.proxies[0].stream.snapshot

    # What users do

    @initialize(clusters=st.sets(names), everything=st.booleans())
    def connect(self, clusters: set[str], *, everything: bool) -> None:
        snapshot = Snapshot.of(each for name in clusters for each in pair(name))
        self.proxies = SotwProxy(snapshot), DeltaProxy(snapshot)
        if everything:  # most of what can go wrong goes wrong for a proxy that has something
            for type_url in TYPES:
                self.ask(type_url, frozenset("abc"), wildcard=type_url in FULL_STATE)
            self.catch_up()

    def publish(self, *resources: Resource, removed: Iterable[Key] = ()) -> None:
        gone = [key for key in removed if self.snapshot.get(key)]
        for proxy in self.proxies:
            proxy.stream.publish(*resources, removed=gone)

    @rule(name=names, content=contents)
    def set_cluster(self, name: str, content: str) -> None:
        self.publish(*pair(name, content))

    @rule(name=names)
    def drop_cluster_and_who_names_it(self, name: str) -> None:
        parents = [
            parent.key
            for type_url in GATED
            for parent in self.snapshot.of_type(type_url).values()
            if Key(CLUSTER, name) in parent.references
        ]
        self.publish(removed=[Key(CLUSTER, name), Key(ENDPOINT, name), *parents])

    @rule(name=names, content=contents)
    def set_endpoints(self, name: str, content: str) -> None:
        if self.snapshot.get(Key(ENDPOINT, name)):
            self.publish(endpoint(name, content))

    @rule(name=names, used=st.sets(names), content=contents, drop=st.booleans())
    def move_parents(self, name: str, used: set[str], content: str, *, drop: bool) -> None:
        """A listener and a route move to clusters, some of them new; unused ones may go."""
        exist = set(self.snapshot.of_type(CLUSTER))
        text = content + "".join(sorted(used))
        moved = [listener(name, *used, content=text), route(name, *used, content=text)]
        moved += [each for target in used - exist for each in pair(target)]
        self.publish(*moved, removed=self.unused(moved) if drop else ())

    def unused(self, moved: list[Resource]) -> list[Key]:
        after = self.snapshot.replace({resource.key: resource for resource in moved})
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
        self.publish(removed=[Key(type_url, name)])

    # What proxies do

    @rule(type_url=st.sampled_from(TYPES), wanted=st.frozensets(names), wildcard=st.booleans())
    def ask(self, type_url: str, wanted: frozenset[str], *, wildcard: bool) -> None:
        for proxy in self.proxies:
            proxy.ask(type_url, wanted, wildcard=wildcard)

    @rule(order=st.permutations(TYPES))
    def reconnect(self, order: list[str]) -> None:
        for proxy in self.proxies:
            proxy.reconnect(order)

    @rule(order=st.permutations(TYPES), name=names)
    def miss_changes(self, order: list[str], name: str) -> None:
        """What the proxies hold changes and goes while they are not connected."""
        self.catch_up()
        self.drop_parent(name, LISTENER)
        self.drop_parent(name, ROUTE)
        self.set_endpoints(name, "3")
        self.reconnect(order)

    @rule()
    def hear(self) -> None:
        for proxy in self.proxies:
            proxy.hear()

    @rule()
    def catch_up(self) -> None:
        """Hear and answer until nothing is due at this time."""
        for proxy in self.proxies:
            proxy.catch_up()

    @rule(type_url=st.sampled_from(TYPES))
    def answer_one(self, type_url: str) -> None:
        for proxy in self.proxies:
            if proxy.held[type_url].unanswered:
                proxy.answer(type_url)

    @rule()
    def answer_all(self) -> None:
        for proxy in self.proxies:
            proxy.answer_all()

    @rule(seconds=st.sampled_from([0.25, 1.0, 3.0, DRAIN]))
    def wait(self, seconds: float) -> None:
        for proxy in self.proxies:
            proxy.wait(seconds)

    # What is true in the end

    def teardown(self) -> None:
        if not self.proxies:
            return
        for proxy in self.proxies:
            if not proxy.held[CLUSTER].asked:
                # Assignments that are gone are spared until it is known which clusters linger.
                proxy.ask(CLUSTER, frozenset(), wildcard=True)
            proxy.come_to_rest()  # nobody repeats what is refused for ever
            proxy.has_all_that_is_good()
        self.mend()
        for proxy in self.proxies:
            proxy.come_to_rest()
            assert proxy.holds() == proxy.should_hold()
        sotw, delta = self.proxies
        assert sotw.holds() == delta.holds()

    def mend(self) -> None:
        """What is bad becomes something else, and good."""
        every = (each for kind in TYPES for each in self.snapshot.of_type(kind).values())
        self.publish(*(mended(each) for each in every if content_of(each).startswith(BAD)))


def pair(name: str, content: str = "1") -> Iterable[Resource]:
    """A cluster and its assignment."""
    return cluster(name, content), endpoint(name)


def mended(resource: Resource) -> Resource:
    name, _, content = resource.body.decode().partition("=")
    body = f"{name}=4{content[1:]}".encode()
    return replace(resource, body=body, version=content_version(body))


EXAMPLES = settings(stateful_step_count=30)
# The same examples in every run; the first failure is enough.
NOTICING = settings(
    EXAMPLES, max_examples=200, derandomize=True, database=None, phases=[Phase.generate]
)


def test_a_proxy_ends_with_exactly_what_it_asked_for_in_either_dialect() -> None:
    run_state_machine_as_test(Proxies, settings=EXAMPLES)


@pytest.mark.parametrize(
    "mutant",
    [
        what_was_refused_is_repeated,
        a_refusal_is_the_end,
        the_good_neighbours_are_forgotten,
        what_is_refused_alone_is_repeated_for_ever,
        new_names_wait_for_a_change,
        what_was_asked_for_once_is_known,
        what_went_during_a_reconnect_is_not_told,
        nothing_is_held,
    ],
)
def test_the_proxies_notice_what_is_wrong(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Proxies, settings=NOTICING)
