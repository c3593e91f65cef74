"""What replicas tell each other, and what of it counts."""

from __future__ import annotations

import random
import zlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.kube.peers import EXPIRES_S, Peers
from meltemi.controller.kube.report import LARGEST, Report, ReportError
from meltemi.controller.statuses.tally import Tally, Words
from meltemi.controller.store.objects import Identity

GROUP = "metaprotocol.aeraki.io"
numbers = st.integers(0, 10_000)
identities = st.builds(
    Identity, st.just(GROUP), st.just("MetaRouter"), st.sampled_from("abc"), st.text(max_size=5)
)
words = st.none() | st.builds(Words, st.text(max_size=5), st.text(max_size=20))
uids = st.sampled_from(("", "0f3a77c1", "5d8e1b20"))
tallies = st.builds(Tally, numbers, numbers, numbers, numbers, numbers, words, uids)


def rule(name: str) -> Identity:
    return Identity(GROUP, "MetaRouter", "shop", name)


@given(numbers, st.dictionaries(identities, tallies, max_size=5))
def test_a_report_is_read_as_it_was_written(proxies: int, found: dict[Identity, Tally]) -> None:
    report = Report(proxies, found)
    assert Report.decode(report.encode()) == report
    backwards = Report(proxies, dict(reversed(found.items())))
    assert backwards.encode() == report.encode()


@pytest.mark.parametrize(
    "text",
    [None, "", "?", "AAAA", b64encode(zlib.compress(b"[]")).decode()],
)
def test_what_is_no_report_is_refused(text: object) -> None:
    with pytest.raises(ReportError):
        Report.decode(text)


def test_a_report_that_unpacks_to_far_too_much_is_refused() -> None:
    bomb = b64encode(zlib.compress(b" " * 64_000_000)).decode()
    assert len(bomb) < LARGEST
    with pytest.raises(ReportError):
        Report.decode(bomb)


def test_objects_of_kinds_that_a_later_version_has_are_left_out() -> None:
    content = b'{"proxies":1,"rows":[["Tomorrow","n","x",1],["MetaRouter","shop","x",1,5]]}'
    found = Report.decode(b64encode(zlib.compress(content)).decode())
    assert found == Report(1, {rule("x"): Tally(1, 5)})


def test_when_all_have_too_much_to_say_a_report_keeps_the_numbers() -> None:
    chance = random.Random(1)
    found = {
        rule(f"x{number}"): Tally(1, nacked=1, words=Words("proxy", chance.randbytes(250).hex()))
        for number in range(5000)
    }
    encoded = Report(1, found).encode()
    assert len(encoded) < LARGEST
    assert Report.decode(encoded).tallies[rule("x7")] == Tally(1, nacked=1)


def test_what_a_replica_has_not_seen_may_be_about_all_its_proxies() -> None:
    report = Report(3, {rule("seen"): Tally(2, acked=1)})
    assert report.tally(rule("seen")) == Tally(2, acked=1)
    assert report.tally(rule("new")) == Tally(pending=3)


def test_what_was_accepted_of_an_object_is_not_accepted_of_the_next_one_of_that_name() -> None:
    first, second = "5d8e1b20-6c1f-4f0e-8a51-0b7c6a0f9a11", "0f3a77c1-11d2-4c55-9e0b-3c1d2e4f5a66"
    here = Report(3, {rule("x"): Tally(1, acked=2, uid=first)})
    report = Report.decode(here.encode())
    assert report.tally(rule("x"), first).acked == 2
    assert report.tally(rule("x"), second) == Tally(pending=3)
    older_version = Report(3, {rule("x"): Tally(1, acked=2)})
    assert older_version.tally(rule("x"), second).acked == 2


def test_tallies_of_all_that_live_are_added() -> None:
    peers = Peers()
    assert peers.tally(rule("x")) is None
    peers.take("a", Report(1, {rule("x"): Tally(2, acked=1)}), 0.0)
    peers.take("b", Report(4, {rule("x"): Tally(1, acked=4)}), 0.0)
    assert peers.tally(rule("x")) == Tally(2, acked=1, pending=4)
    assert peers.drop("b")
    assert peers.tally(rule("x")) == Tally(2, acked=1)
    assert not peers.drop("b")


def test_only_what_is_new_in_a_report_is_told() -> None:
    peers = Peers()
    first = {rule("x"): Tally(1, acked=1), rule("y"): Tally(1)}
    assert peers.take("a", Report(1, first), 0.0) == {rule("x"), rule("y")}
    assert peers.take("a", Report(1, first), 1.0) == set()
    second = {rule("x"): Tally(1, acked=2), rule("z"): Tally(1)}
    assert peers.take("a", Report(1, second), 2.0) == {rule("x"), rule("y"), rule("z")}


def test_who_is_silent_for_too_long_counts_no_more() -> None:
    peers = Peers()
    peers.take("a", Report(1, {}), 0.0)
    peers.take("b", Report(1, {}), 0.0)
    peers.take("b", Report(1, {}), 10.0)
    assert peers.expired(EXPIRES_S - 0.1) == []
    assert peers.expired(EXPIRES_S) == ["a"]
