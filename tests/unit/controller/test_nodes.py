"""What a proxy may say about itself."""

from __future__ import annotations

import pytest

from meltemi.controller.nodes import NamespaceError, NodeError, profile
from meltemi.xds.wire import Node
from tests import make


def test_a_proxy_may_have_a_name_of_256_characters_and_no_longer_one() -> None:
    assert profile(Node("é" * 256, "", {}), make.registry()).drain == 600
    with pytest.raises(NodeError, match="has 257 characters: write at most 256") as raised:
        profile(Node("x" * 257, "", {}), make.registry())
    assert "x" * 21 not in str(raised.value)


def test_a_proxy_has_a_name_that_can_be_shown_on_a_line() -> None:
    with pytest.raises(NodeError, match="write it without control characters") as raised:
        profile(Node("edge\nfake\x1b[2J", "", {}), make.registry())
    assert str(raised.value).isprintable()


def test_hosts_in_the_metadata_are_compared_without_case() -> None:
    metadata = {"services": ["default/Shop.Example"], "ports": {"Shop.Example:1": 2}}
    group = profile(Node("edge", "", {"meltemi": metadata}), make.registry()).group
    assert group.services == {"default/shop.example"}
    assert group.ports == (("shop.example:1", 2),)


def claiming(namespace: str) -> Node:
    return Node("edge", "", {"meltemi": {"namespace": namespace}})


def test_a_proxy_that_says_no_namespace_is_in_its_own_or_else_in_default() -> None:
    silent = Node("edge", "", {})
    assert profile(silent, make.registry()).group.namespace == "default"
    assert profile(silent, make.registry(), "shop").group.namespace == "shop"


def test_a_proxy_may_claim_its_own_namespace_and_any_where_nobody_knows_better() -> None:
    assert profile(claiming("shop"), make.registry()).group.namespace == "shop"
    assert profile(claiming("shop"), make.registry(), "shop").group.namespace == "shop"


@pytest.mark.parametrize("claimed", ["cart", "default", "", "Shop", "shop "])
def test_a_proxy_that_claims_another_namespace_than_its_own_is_refused(claimed: str) -> None:
    with pytest.raises(NamespaceError, match=f"is '{claimed}', and this proxy is in 'shop'"):
        profile(claiming(claimed), make.registry(), "shop")


@pytest.mark.parametrize("seconds", [-1.0, 1000000.5, float("inf"), float("nan"), "Infinity"])
def test_connections_drain_for_a_time_that_ends(seconds: float | str) -> None:
    with pytest.raises(NodeError, match=r"drainSeconds"):
        profile(Node("edge", "", {"meltemi": {"drainSeconds": seconds}}), make.registry())
