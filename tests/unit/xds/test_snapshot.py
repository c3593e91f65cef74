"""Snapshots: content decides the version, a change leaves the old value alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meltemi.xds.resource import CLUSTER, LISTENER, Key, Resource, content_version
from meltemi.xds.snapshot import Snapshot


def make(name: str, content: str, type_url: str = CLUSTER) -> Resource:
    body = content.encode()
    return Resource(type_url, name, content_version(body), body)


contents = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xyz"))


@given(contents, contents)
def test_the_version_depends_on_the_content_alone(old: dict[str, str], new: dict[str, str]) -> None:
    history = Snapshot.of(make(name, content) for name, content in old.items())
    changes: dict[Key, Resource | None] = {Key(CLUSTER, name): None for name in old}
    changes |= {Key(CLUSTER, name): make(name, content) for name, content in new.items()}
    direct = Snapshot.of(make(name, new[name]) for name in sorted(new, reverse=True))
    assert history.replace(changes).version(CLUSTER) == direct.version(CLUSTER)
    assert history.replace(changes).of_type(CLUSTER) == direct.of_type(CLUSTER)
    if old != new:
        assert history.version(CLUSTER) != direct.version(CLUSTER)


@given(contents, contents)
def test_an_overlay_has_the_version_of_the_snapshot_that_it_makes(
    base: dict[str, str], over: dict[str, str]
) -> None:
    snapshot = Snapshot.of(make(name, content) for name, content in base.items())
    overlay = {name: make(name, text) if text != "x" else None for name, text in over.items()}
    made = snapshot.replace({Key(CLUSTER, name): value for name, value in overlay.items()})
    assert snapshot.version(CLUSTER, overlay) == made.version(CLUSTER)


def test_a_change_leaves_the_old_snapshot_and_other_types_alone() -> None:
    listener = make("l", "1", LISTENER)
    before = Snapshot.of([make("a", "1"), listener])
    after = before.replace({Key(CLUSTER, "a"): None, Key(CLUSTER, "b"): make("b", "2")})
    assert set(before.of_type(CLUSTER)) == {"a"}
    assert set(after.of_type(CLUSTER)) == {"b"}
    assert after.version(LISTENER) == before.version(LISTENER)
    assert after.get(listener.key) is listener
    assert after.get(Key(CLUSTER, "a")) is None
    assert set(after.types()) == {CLUSTER, LISTENER}
