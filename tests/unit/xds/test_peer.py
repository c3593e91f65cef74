"""What the names in a verified certificate say about a peer."""

from __future__ import annotations

import pytest

from meltemi.xds.peer import LONGEST, Identity, UnidentifiedError, identity


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("spiffe://cluster.local/ns/shop/sa/edge", Identity("cluster.local", "/ns/shop/sa/edge")),
        ("spiffe://a-b_c.example/x.y/Z_1-2", Identity("a-b_c.example", "/x.y/Z_1-2")),
        ("spiffe://example", Identity("example", "")),
        ("spiffe://d/" + "x" * (LONGEST - 11), Identity("d", "/" + "x" * (LONGEST - 11))),
    ],
)
def test_one_spiffe_id_is_an_identity_that_reads_as_it_was_written(
    uri: str, expected: Identity
) -> None:
    found = identity([uri])
    assert (found, str(found)) == (expected, uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://cluster.local/ns/shop/sa/edge",
        "SPIFFE://cluster.local/ns/shop/sa/edge",
        "spiffe:///ns/shop/sa/edge",
        "spiffe://Cluster.local/ns/shop/sa/edge",
        "spiffe://user@cluster.local/ns/shop/sa/edge",
        "spiffe://cluster.local:80/ns/shop/sa/edge",
        "spiffe://cluster.local/",
        "spiffe://cluster.local/ns/shop/sa/edge/",
        "spiffe://cluster.local/ns//sa/edge",
        "spiffe://cluster.local/ns/../ns/shop/sa/edge",
        "spiffe://cluster.local/./ns/shop/sa/edge",
        "spiffe://cluster.local/ns/shop/sa/edge?x",
        "spiffe://cluster.local/ns/shop/sa/edge#x",
        "spiffe://cluster.local/ns/sh%6fp/sa/edge",
        "spiffe://cluster.local/ns/shop/sa/edge\n",
        "spiffe://cluster.local/ns/shöp/sa/edge",
        "spiffe://" + "d" * 256 + "/ns/shop/sa/edge",
        "spiffe://d/" + "x" * (LONGEST - 10),
    ],
)
def test_what_is_no_spiffe_id_identifies_nobody(uri: str) -> None:
    with pytest.raises(UnidentifiedError, match="no SPIFFE ID"):
        identity([uri])


@pytest.mark.parametrize("count", [0, 2])
def test_a_certificate_with_no_uri_or_several_identifies_nobody(count: int) -> None:
    with pytest.raises(UnidentifiedError, match=f"has {count} URIs"):
        identity(["spiffe://cluster.local/ns/shop/sa/edge"] * count)
