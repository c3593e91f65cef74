"""Every endpoint of a split gets what its destinations' weights say, also where they overlap."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from meltemi.protocols.assignments import Host, LocalityEndpoints
from meltemi.protocols.model import Locality
from meltemi.protocols.shares import PRECISION, Share, localities

A, B, C = (Host(f"10.0.0.{number}", 80) for number in (1, 2, 3))


def split(*shares: Share) -> dict[str, tuple[int | None, list[Host]]]:
    """Weight and hosts by locality."""
    return {
        found.locality.sub_zone: (found.weight, sorted(found.endpoints))
        for found in localities(shares)
    }


def test_destinations_that_do_not_overlap_keep_their_weights() -> None:
    assert split(Share("v1", 80, [A, B]), Share("v2", 20, [C])) == {
        "v1": (80, [A, B]),
        "v2": (20, [C]),
    }


def test_an_endpoint_of_two_destinations_gets_of_both() -> None:
    assert split(Share("all", 90, [A, B]), Share("v2", 10, [B])) == {
        "all": (45 * PRECISION, [A]),
        "all, v2": (55 * PRECISION, [B]),
    }


def test_one_destination_twice_has_both_weights() -> None:
    assert split(Share("v1", 30, [A]), Share("v1", 70, [A])) == {"v1": (100, [A])}


def test_a_destination_of_weight_zero_is_left_out() -> None:
    assert split(Share("v1", 100, [A]), Share("v2", 0, [A])) == {"v1": (100, [A])}


def test_a_destination_without_endpoints_takes_nothing_of_an_overlap() -> None:
    shares = Share("all", 50, [A, B]), Share("v2", 25, [B]), Share("v3", 25, [])
    assert split(*shares) == {
        "all": (25 * PRECISION, [A]),
        "all, v2": (50 * PRECISION, [B]),
    }


def test_a_share_is_never_too_small_to_be_one() -> None:
    shares = Share("all", 1, [A, Host("10.0.0.9", 80, 10**9)]), Share("v2", 99, [A])
    assert all(weight for weight, _ in split(*shares).values())


HOSTS = st.sampled_from([A, B, C])
SHARES = st.builds(
    Share,
    st.sampled_from("abc"),
    st.integers(1, 100),
    st.lists(HOSTS, min_size=1, max_size=3, unique=True),
)


@given(st.lists(SHARES, min_size=1, max_size=3, unique_by=lambda share: share.label))
def test_each_endpoint_gets_the_sum_of_its_parts(shares: list[Share]) -> None:
    found = localities(shares)
    wanted: defaultdict[Host, Fraction] = defaultdict(Fraction)
    for share in shares:
        for host in share.hosts:
            wanted[host] += Fraction(share.weight, len(share.hosts))
    whole = sum(weight_of(locality) for locality in found)
    got = {
        host: Fraction(weight_of(locality), len(locality.endpoints) * whole)
        for locality in found
        for host in locality.endpoints
    }
    assert got.keys() == wanted.keys()
    total = sum(share.weight for share in shares)
    for host, part in wanted.items():
        assert abs(part / total - got[host]) < Fraction(1, PRECISION)


@given(st.lists(SHARES, max_size=4))
def test_no_endpoint_is_in_two_localities(shares: list[Share]) -> None:
    hosts = [host for locality in localities(shares) for host in locality.endpoints]
    assert len(hosts) == len({*hosts})


def weight_of(locality: LocalityEndpoints) -> int:
    assert locality.weight is not None
    assert locality.locality != Locality()
    return locality.weight
