"""Endpoints that have an address of each IP version are one endpoint, not two."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meltemi.protocols.model import Endpoint

Owner = tuple[str, str]
"""(namespace, name) of the Pod behind an endpoint."""


def is_ipv6(address: str) -> bool:
    """Of an IP address in any form."""
    return ":" in address


def ranked(addresses: Iterable[str], *, ipv6_first: bool = False) -> list[str]:
    """Addresses of the preferred version first; inside a version in the order of the text."""
    return sorted(addresses, key=lambda address: (is_ipv6(address) is not ipv6_first, address))


def first_and_other(addresses: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """An address, IPv4 before IPv6, and one of the other version, if there is one.

    Raises ValueError where there are no addresses at all.
    """
    first, *others = ranked(addresses)
    return first, tuple(other for other in others if is_ipv6(other) != is_ipv6(first))[:1]


def paired(
    found: Iterable[tuple[Endpoint, Owner | None]], *, ipv6_first: bool = False
) -> list[Endpoint]:
    """The endpoints, those of one Pod that differ in the IP version alone as one of them.

    Kubernetes lists the two in two EndpointSlices: as two endpoints such a Pod would get two shares
    of the requests, and one of them nowhere where a proxy has only one version.
    """
    result: list[Endpoint] = []
    of_pod: defaultdict[tuple[object, ...], list[Endpoint]] = defaultdict(list)
    for endpoint, owner in found:
        if owner is None:
            result.append(endpoint)
        else:
            ports = tuple(sorted(endpoint.ports.items()))
            of_pod[owner, ports, endpoint.ready, endpoint.locality].append(endpoint)
    for endpoints in of_pod.values():
        result += _merged(endpoints, ipv6_first=ipv6_first)
    return result


def _merged(endpoints: Sequence[Endpoint], *, ipv6_first: bool) -> Sequence[Endpoint]:
    versions = {is_ipv6(endpoint.address) for endpoint in endpoints}
    if len(endpoints) != 2 or len(versions) != 2:
        return endpoints
    first, other = ranked((e.address for e in endpoints), ipv6_first=ipv6_first)
    return (replace(endpoints[0], address=first, also=(other,)),)
