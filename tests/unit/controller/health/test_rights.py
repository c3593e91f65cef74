"""Which rights are asked for, and what it says of those that lack."""

from __future__ import annotations

from meltemi.controller.health.result import State
from meltemi.controller.health.rights import (
    Right,
    Thing,
    allowed,
    groups,
    review,
    right_results,
    rights,
)
from meltemi.controller.manifests.rbac import rbac
from meltemi.controller.manifests.wish import Wish

POD = "system:serviceaccount:meltemi-system:meltemi"


def test_all_that_the_manifests_grant_is_asked_for_and_no_more() -> None:
    wish = Wish(image="meltemi", tokens=True)
    granted = {
        (group, resource, verb)
        for manifest in rbac(wish)
        for rule in manifest.rules
        for group in [rule.group]
        for resource in rule.resources
        for verb in rule.verbs
    }
    asked = {(each.thing.group, each.thing.resource, each.verb) for each in rights(wish)}
    assert asked == granted
    assert ("", "services", "watch") in asked
    assert ("metaprotocol.aeraki.io", "metarouters/status", "patch") in asked


def test_what_is_watched_in_namespaces_is_asked_for_there() -> None:
    wish = Wish(image="meltemi", watched=("shop", "bank"), webhook=False)
    services = [each.thing.namespace for each in rights(wish) if each.thing.resource == "services"]
    assert set(services) == {"shop", "bank"}


def test_nothing_is_asked_twice() -> None:
    asked = [(each.thing, each.verb) for each in rights(Wish(image="meltemi"))]
    assert len(asked) == len(set(asked))


def test_a_review_is_about_oneself_or_about_a_user_with_the_groups_that_everybody_there_has() -> (
    None
):
    right = Right(Thing("g.io", "things/status", "shop", "one"), "patch", "")
    attributes = {
        "group": "g.io",
        "resource": "things",
        "subresource": "status",
        "verb": "patch",
        "namespace": "shop",
        "name": "one",
    }
    path, body = review(right, "")
    assert path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    assert body["spec"] == {"resourceAttributes": attributes}
    path, body = review(right, POD)
    assert path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert body["spec"] == {
        "resourceAttributes": attributes,
        "user": POD,
        "groups": [
            "system:authenticated",
            "system:serviceaccounts",
            "system:serviceaccounts:meltemi-system",
        ],
    }
    assert groups("anna") == ["system:authenticated"]


def test_only_a_clear_yes_counts() -> None:
    assert allowed({"status": {"allowed": True}})
    assert not allowed({"status": {"allowed": False}})
    assert not allowed({})


def test_who_may_do_everything_is_fine_and_told_whom_it_was_about() -> None:
    (own,) = right_results("anna", [], 48, apply="", other=POD)
    (pods,) = right_results(POD, [], 48, apply="")
    assert (own.state, own.text) == (State.FINE, "anna may do all 48 things that Meltemi does")
    assert own.hint.endswith(f"--as {POD}")
    assert pods.hint == ""


def test_what_may_not_be_done_to_a_thing_is_one_line_with_its_purpose() -> None:
    services = Thing("", "services", "shop", "")
    lease = Thing("coordination.k8s.io", "leases", "", "meltemi")
    denied = [
        Right(services, "list", "Objects that are read."),
        Right(lease, "update", "Who writes."),
        Right(services, "watch", "Objects that are read."),
    ]
    first, second = right_results("x", denied, 9, apply="do it")
    assert (first.state, first.hint) == (State.ERROR, "do it")
    assert first.text == (
        "x may not list or watch services in namespace shop, which is for: Objects that are read."
    )
    assert second.about == "leases.coordination.k8s.io/meltemi"
