"""What stands in the API server of our kinds, and what of it is news."""

from __future__ import annotations

from typing import Any

from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.mirror import Gone, Name, Seen
from meltemi.controller.kube.written import WrittenStatuses
from meltemi.controller.objects import Identity

KINDS = {kind.kind: kind for kind in WATCHED}
RULE = KINDS["MetaRouter"]
IDENTITY = Identity(RULE.group, RULE.kind, "shop", "cart")


def rule(revision: int, status: object = None, **changed: Any) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "cart", "uid": "u", "generation": 1}
    metadata |= {"resourceVersion": str(revision), "managedFields": [revision], **changed}
    body = {"apiVersion": "metaprotocol.aeraki.io/v1alpha1", "kind": "MetaRouter"}
    return {**body, "metadata": metadata, "spec": {}, **({"status": status} if status else {})}


def news(body: dict[str, Any]) -> Seen:
    return Seen(Name("shop", "cart"), body)


def take(written: WrittenStatuses, body: dict[str, Any]) -> bool:
    return written.take(RULE, IDENTITY, news(body))


def test_a_write_to_the_status_is_no_news_of_the_object() -> None:
    written = WrittenStatuses()
    assert take(written, rule(1))
    assert not take(written, rule(2, {"observedGeneration": 1}))
    found = written.get(IDENTITY)
    assert found is not None
    assert (found.revision, found.read_status()) == (2, {"observedGeneration": 1})


def test_everything_but_the_status_is_news() -> None:
    for changed in ({"generation": 2}, {"labels": {"a": "b"}}, {"annotations": {"a": "b"}}):
        written = WrittenStatuses()
        take(written, rule(1))
        assert take(written, rule(2, **changed))
        assert not take(written, rule(3, **changed))


def test_an_object_that_was_made_anew_with_the_same_words_is_news() -> None:
    written = WrittenStatuses()
    take(written, rule(1))
    assert written.take(RULE, IDENTITY, Gone(Name("shop", "cart")))
    assert written.get(IDENTITY) is None
    assert take(written, rule(3))


def test_objects_without_a_status_are_always_news_and_not_kept() -> None:
    written, service = WrittenStatuses(), KINDS["Service"]
    identity = Identity("", "Service", "shop", "cart")
    assert all(written.take(service, identity, news(rule(1))) for _ in range(2))
    assert list(written) == []


def test_what_comes_late_does_not_replace_what_was_answered_unless_it_is_certain() -> None:
    written = WrittenStatuses()
    take(written, rule(1))
    written.put(RULE, IDENTITY, rule(5, {"observedGeneration": 5}))
    assert not take(written, rule(4, {"observedGeneration": 4}))
    found = written.get(IDENTITY)
    assert found is not None
    assert found.revision == 5
    written.put(RULE, IDENTITY, rule(2), certain=True)
    found = written.get(IDENTITY)
    assert found is not None
    assert found.revision == 2


def test_whoever_listens_hears_of_each_difference() -> None:
    written = WrittenStatuses()
    heard: list[Identity] = []
    written.changed = heard.append
    take(written, rule(1))
    take(written, rule(2, {"observedGeneration": 1}))
    written.put(RULE, IDENTITY, rule(2))
    written.take(RULE, IDENTITY, Gone(Name("shop", "cart")))
    assert heard == [IDENTITY] * 3


def test_an_object_knows_where_it_is() -> None:
    written = WrittenStatuses()
    take(written, rule(1))
    found = written.get(IDENTITY)
    assert found is not None
    assert found.path == ("/apis/metaprotocol.aeraki.io/v1alpha1/namespaces/shop/metarouters/cart")


def test_a_status_that_is_no_mapping_says_nothing() -> None:
    written = WrittenStatuses()
    take(written, rule(1, ["what"]))
    found = written.get(IDENTITY)
    assert found is not None
    assert found.read_status() == {}
