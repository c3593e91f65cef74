"""Only real changes of a kind are told."""

from __future__ import annotations

import pytest

from meltemi.controller.kube.mirror import Gone, Mirror, Name, Seen, identify


def thing(name: str, version: int) -> dict[str, object]:
    return {"metadata": {"namespace": "n", "name": name, "resourceVersion": str(version)}}


def listed(*things: dict[str, object]) -> Mirror:
    mirror = Mirror()
    mirror.begin()
    for each in things:
        assert mirror.seen(each) is not None
    assert mirror.end() == []
    return mirror


def test_a_list_tells_what_is_new_different_and_gone() -> None:
    mirror = listed(thing("same", 1), thing("changed", 2), thing("gone", 3))
    mirror.begin()
    assert mirror.seen(thing("same", 1)) is None
    changed = Seen(Name("n", "changed"), thing("changed", 9), listed=True)
    assert mirror.seen(thing("changed", 9)) == changed
    assert mirror.end() == [Gone(Name("n", "gone"))]


def test_a_listing_that_breaks_off_and_begins_again_forgets_nothing() -> None:
    mirror = listed(thing("a", 1), thing("b", 2))
    mirror.begin()
    assert mirror.seen(thing("a", 1)) is None
    mirror.begin()
    assert mirror.seen(thing("b", 2)) is None
    assert mirror.end() == [Gone(Name("n", "a"))]


def test_events_that_come_twice_or_late_are_no_news() -> None:
    mirror = listed(thing("a", 5))
    assert mirror.seen(thing("a", 5)) is None
    assert mirror.seen(thing("a", 4)) is None
    assert mirror.deleted(thing("a", 4)) is None
    assert mirror.seen(thing("a", 6)) is not None


def test_a_deletion_is_told_once() -> None:
    mirror = listed(thing("a", 5))
    assert mirror.deleted(thing("a", 7)) == Gone(Name("n", "a"))
    assert mirror.deleted(thing("a", 7)) is None


def test_a_cluster_restored_from_a_backup_is_believed() -> None:
    mirror = listed(thing("a", 500), thing("b", 501))
    mirror.begin()
    assert mirror.seen(thing("a", 20)) is not None
    assert mirror.end() == [Gone(Name("n", "b"))]
    assert mirror.seen(thing("a", 21)) is not None


def test_a_kind_that_is_gone_takes_its_objects_along() -> None:
    mirror = listed(thing("a", 1), thing("b", 2))
    assert mirror.clear() == [Gone(Name("n", "a")), Gone(Name("n", "b"))]
    assert len(mirror) == 0


@pytest.mark.parametrize(
    "body",
    [{}, {"metadata": "x"}, {"metadata": {"name": "a"}}, {"metadata": {"resourceVersion": "1"}}],
)
def test_what_is_no_object_is_an_error(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"name|resourceVersion"):
        identify(body)
