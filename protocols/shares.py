"""Which endpoints of a split get which share of its requests.

Destinations may overlap, such as a whole service and one of its subsets. Envoy keeps an address in
the first locality that names it and nowhere else, so that the other destination silently loses it.
So what overlaps becomes a locality of its own, with its part of each destination's weight.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from meltemi.protocols.assignments import Host, LocalityEndpoints
from meltemi.protocols.model import Locality

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

PRECISION = 10_000
"""Units per weight where destinations overlap: shares are then fractions."""

At = tuple[str, int]
"""Address and port."""


class Share(NamedTuple):
    """A destination, its weight and its endpoints."""

    label: str
    weight: int
    hosts: Sequence[Host]


def localities(shares: Iterable[Share]) -> list[LocalityEndpoints]:
    """One locality per destination, named by its label; one more for each overlap.

    Inside a destination, endpoints share by their own weights. A destination of weight 0 gets
    nothing; one without endpoints leaves its weight to the others.
    """
    weights: defaultdict[str, int] = defaultdict(int)
    members: dict[str, dict[At, Host]] = {}
    for share in shares:
        weights[share.label] += share.weight
        members[share.label] = {(host.address, host.port): host for host in sorted(share.hosts)}
    served = {label: members[label] for label, weight in weights.items() if weight}
    cells = _cells(served)
    if all(len(labels) == 1 for labels in cells):
        return [
            _locality([label], weights[label], hosts.values()) for label, hosts in served.items()
        ]
    totals = {label: _total(hosts.values()) for label, hosts in served.items()}
    found: list[LocalityEndpoints] = []
    for labels, hosts in cells.items():
        part = sum(weights[label] * Fraction(_total(hosts), totals[label]) for label in labels)
        found.append(_locality(labels, max(1, round(PRECISION * part)), hosts))
    return found


def _cells(members: Mapping[str, Mapping[At, Host]]) -> dict[tuple[str, ...], list[Host]]:
    """The endpoints by the destinations that they belong to."""
    labels: defaultdict[At, list[str]] = defaultdict(list)
    known: dict[At, Host] = {}
    for label in sorted(members):
        for at, host in members[label].items():
            labels[at].append(label)
            known[at] = host
    cells: defaultdict[tuple[str, ...], list[Host]] = defaultdict(list)
    for at, host in known.items():
        cells[tuple(labels[at])].append(host)
    return dict(cells)


def _total(hosts: Iterable[Host]) -> int:
    return sum(max(1, host.weight) for host in hosts)


def _locality(labels: Iterable[str], weight: int, hosts: Iterable[Host]) -> LocalityEndpoints:
    return LocalityEndpoints(Locality(sub_zone=", ".join(labels)), weight, [*hosts])
