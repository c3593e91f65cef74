"""What Meltemi asks to be allowed: least, and from the tables that the code uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.kube.kinds import SECRETS, WATCHED
from meltemi.controller.manifests import rules
from meltemi.controller.manifests.rbac import rbac
from meltemi.controller.manifests.wish import Wish
from meltemi.controller.webhook.keeper import SECRET
from meltemi.controller.webhook.registration import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.manifests.rules import Rule

EVERYTHING = Wish("i", tokens=True, secrets=(("shop", "redis"),))
IN_NAMESPACES = Wish("i", tokens=True, webhook=True, watched=("shop",), secrets=(("shop", "r"),))
of_each_mode = pytest.mark.parametrize("wish", [EVERYTHING, IN_NAMESPACES])


def granted(wish: Wish, *kinds: str) -> Iterator[Rule]:
    for manifest in rbac(wish):
        if not kinds or manifest.body["kind"] in kinds:
            yield from manifest.rules


@of_each_mode
def test_nothing_is_granted_by_a_wildcard(wish: Wish) -> None:
    for rule in granted(wish):
        assert "*" not in (rule.group, *rule.resources, *rule.verbs, *rule.names)


@of_each_mode
def test_secrets_are_never_listed_and_only_reached_by_name(wish: Wish) -> None:
    about = [rule for rule in granted(wish) if SECRETS.plural in rule.resources]
    assert {name for rule in about for name in rule.names} >= {SECRET}
    for rule in about:
        assert rule.names
        assert not {"list", "create", "delete"} & {*rule.verbs}


@of_each_mode
def test_what_is_watched_may_be_listed_and_watched_and_nothing_else_may(wish: Wish) -> None:
    own = {("", "configmaps")}  # in Meltemi's namespace
    for verb in ("list", "watch"):
        found = {
            (rule.group, plural)
            for rule in granted(wish)
            for plural in rule.resources
            if verb in rule.verbs and not rule.names
        }
        watched = (kind for kind in WATCHED if not (kind.whole and wish.watched))
        assert found == {(kind.group, kind.plural) for kind in watched} | own


def test_the_status_of_each_kind_that_has_one_may_be_patched() -> None:
    patched = {
        (rule.group, plural)
        for rule in granted(EVERYTHING)
        for plural in rule.resources
        if plural.endswith("/status")
    }
    assert patched == {
        (each.group, f"{each.plural}/status") for each in DEFINITIONS if each.decoded
    }


def test_nobody_else_is_asked_to_allow_what_the_webhook_or_tokens_need() -> None:
    without = [*granted(Wish("i", webhook=False))]
    assert rules.CONFIGURATION not in without
    assert rules.CERTIFICATE not in without
    assert rules.REVIEWS not in without
    assert {rules.CONFIGURATION, rules.CERTIFICATE, rules.REVIEWS} <= {*granted(EVERYTHING)}


def test_in_namespaces_the_cluster_role_is_about_kinds_of_no_namespace() -> None:
    about = {each for rule in granted(IN_NAMESPACES, "ClusterRole") for each in rule.resources}
    assert about == {
        "applicationprotocols",
        "applicationprotocols/status",
        "validatingwebhookconfigurations",
        "tokenreviews",
    }


def test_the_names_are_those_that_the_webhook_uses() -> None:
    assert (rules.CONFIGURATION.names, rules.CERTIFICATE.names) == ((NAME,), (SECRET,))
