"""What stands in the API server of our kinds."""

from __future__ import annotations

from typing import Any

from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.mirror import Gone, Name, Seen
from meltemi.controller.kube.written import WrittenStatuses
from meltemi.controller.store.objects import Identity

KINDS = {kind.kind: kind for kind in WATCHED}
RULE = KINDS["MetaRouter"]
IDENTITY = Identity(RULE.group, RULE.kind, "shop", "cart")


def rule(revision: int, status: object = None) -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "cart", "uid": "u", "generation": 1}
    metadata |= {"resourceVersion": str(revision)}
    body = {"apiVersion": "metaprotocol.aeraki.io/v1alpha1", "kind": "MetaRouter"}
    return {**body, "metadata": metadata, "spec": {}, **({"status": status} if status else {})}


def news(body: dict[str, Any]) -> Seen:
    return Seen(Name("shop", "cart"), body)


def take(written: WrittenStatuses, body: dict[str, Any]) -> None:
    written.take(RULE, IDENTITY, news(body))


def test_the_last_that_the_watch_told_is_known() -> None:
    written = WrittenStatuses()
    take(written, rule(1))
    take(written, rule(2, {"observedGeneration": 1}))
    found = written.get(IDENTITY)
    assert found is not None
    assert (found.revision, found.uid) == (2, "u")
    assert found.read_status() == {"observedGeneration": 1}
    written.take(RULE, IDENTITY, Gone(Name("shop", "cart")))
    assert written.get(IDENTITY) is None


def test_objects_of_kinds_without_a_status_are_not_kept() -> None:
    written, service = WrittenStatuses(), KINDS["Service"]
    identity = Identity("", "Service", "shop", "cart")
    written.take(service, identity, news(rule(1)))
    assert list(written) == []


def test_what_comes_late_does_not_replace_what_was_answered_unless_it_is_certain() -> None:
    written = WrittenStatuses()
    take(written, rule(1))
    written.put(RULE, IDENTITY, rule(5, {"observedGeneration": 5}))
    take(written, rule(4, {"observedGeneration": 4}))
    found = written.get(IDENTITY)
    assert found is not None
    assert found.revision == 5
    written.put(RULE, IDENTITY, rule(2), certain=True)
    found = written.get(IDENTITY)
    assert found is not None
    assert found.revision == 2


def test_what_a_listing_says_counts_though_its_version_is_older() -> None:
    written = WrittenStatuses()
    take(written, rule(5, {"observedGeneration": 5}))
    listed = Seen(Name("shop", "cart"), rule(2, {"observedGeneration": 2}), listed=True)
    written.take(RULE, IDENTITY, listed)
    found = written.get(IDENTITY)
    assert found is not None
    assert (found.revision, found.read_status()) == (2, {"observedGeneration": 2})


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
