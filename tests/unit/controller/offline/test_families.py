"""Pods with addresses of both IP versions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meltemi.controller.offline.families import paired, ranked
from meltemi.protocols.model import Endpoint

FOUR = Endpoint("10.0.0.1", {80: 8080})
SIX = replace(FOUR, address="fd00::1")
POD = ("demo", "shop-0")


@pytest.mark.parametrize(
    ("ipv6_first", "address", "also"),
    [(False, "10.0.0.1", "fd00::1"), (True, "fd00::1", "10.0.0.1")],
)
def test_the_two_addresses_of_a_pod_are_one_endpoint(
    ipv6_first: bool, address: str, also: str
) -> None:
    found = paired([(SIX, POD), (FOUR, POD)], ipv6_first=ipv6_first)
    assert found == [replace(FOUR, address=address, also=(also,))]


@pytest.mark.parametrize(
    "found",
    [
        [(FOUR, None), (SIX, None)],
        [(FOUR, POD), (SIX, ("demo", "shop-1"))],
        [(FOUR, POD), (replace(SIX, ports={80: 8081}), POD)],
        [(FOUR, POD), (replace(SIX, ready=False), POD)],
        [(FOUR, POD), (replace(FOUR, address="10.0.0.2"), POD)],
        [(FOUR, POD), (replace(FOUR, address="10.0.0.2"), POD), (SIX, POD)],
    ],
)
def test_whatever_is_not_surely_one_endpoint_stays_apart(
    found: list[tuple[Endpoint, tuple[str, str] | None]],
) -> None:
    assert paired(found) == [endpoint for endpoint, _ in found]


def test_addresses_of_the_preferred_version_come_first() -> None:
    addresses = ["fd00::1", "10.0.0.2", "10.0.0.1"]
    assert ranked(addresses) == ["10.0.0.1", "10.0.0.2", "fd00::1"]
    assert ranked(addresses, ipv6_first=True) == ["fd00::1", "10.0.0.1", "10.0.0.2"]
