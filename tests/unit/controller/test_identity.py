"""Who a proxy may be."""

from __future__ import annotations

import pytest

from meltemi.controller.identity import DeniedError, NodeIds, namespace_of
from meltemi.xds.peer import Identity, Peer

SHOP = Identity("cluster.local", "/ns/shop/sa/edge")
CART = Identity("cluster.local", "/ns/cart/sa/edge")


@pytest.mark.parametrize("exposed", [False, True])
def test_an_identity_says_the_namespace(exposed: bool) -> None:
    assert namespace_of(Peer("ipv4:10.0.0.1:5", SHOP), exposed=exposed) == "shop"


@pytest.mark.parametrize("address", ["ipv4:127.0.0.1:5", "ipv6:%5B::1%5D:5", "unix:"])
def test_on_a_port_of_this_machine_a_proxy_says_its_namespace_itself(address: str) -> None:
    assert namespace_of(Peer(address), exposed=False) is None


@pytest.mark.parametrize("address", ["ipv4:10.0.0.1:5", "ipv4:127.0.0.1:5"])
def test_on_an_exposed_port_everybody_is_in_the_default_namespace(address: str) -> None:
    # From this machine, too: what forwards connections may run here.
    assert namespace_of(Peer(address), exposed=True) == "default"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/ns/shop",
        "/ns/shop/sa",
        "/ns/shop/sa/",
        "/ns//sa/edge",
        "/ns/shop/sa/edge/more",
        "/more/ns/shop/sa/edge",
        "/ns/Shop/sa/edge",
        "/ns/-shop/sa/edge",
        "/ns/shop.cart/sa/edge",
        "/ns/" + "x" * 64 + "/sa/edge",
        "/sa/edge/ns/shop",
    ],
)
def test_an_identity_of_another_shape_has_no_namespace(path: str) -> None:
    identity = Identity("cluster.local", path)
    with pytest.raises(DeniedError, match="names no workload of a namespace"):
        namespace_of(Peer("ipv4:127.0.0.1:5", identity), exposed=False)


def test_a_node_id_belongs_to_one_identity_while_a_stream_of_it_is_open() -> None:
    ids = NodeIds()
    ids.check("edge", SHOP)
    ids.opened(1, "edge", SHOP)
    ids.check("edge", SHOP)
    ids.opened(2, "edge", SHOP)
    for other in (CART, None):
        with pytest.raises(DeniedError, match="another workload is connected as node 'edge'"):
            ids.check("edge", other)
    ids.closed(1)
    with pytest.raises(DeniedError):
        ids.check("edge", CART)
    ids.closed(2)
    ids.check("edge", CART)


def test_node_ids_of_closed_streams_are_forgotten() -> None:
    ids = NodeIds()
    for stream in range(3):
        ids.opened(stream, "edge", None)
    ids.opened(3, "other", SHOP)
    for stream in (2, 0, 3, 1):
        ids.closed(stream)
    for node_id in ("edge", "other"):
        for identity in (None, SHOP, CART):
            ids.check(node_id, identity)
