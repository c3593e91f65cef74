"""Values that several kinds share: durations, percentages, hosts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from meltemi.controller.decode.schema import Spec
from meltemi.controller.store.hosts import expand, flaw
from meltemi.protocols.model import Locality

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meltemi.controller.decode.notes import Notes

PortNumber = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=0, le=2**32 - 1)]
PercentValue = Annotated[float, Meta(ge=0, le=100)]

_DURATION = re.compile(r"(\d{1,12}(\.\d{1,9})?(ns|us|µs|ms|s|m|h))+")
DURATION_PATTERN = _DURATION.pattern
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST = 365 * 24 * 3600.0
_SHORTEST = 0.001


class Percent(Spec, frozen=True):
    """``{value: 12.5}``, as Istio and Aeraki write percentages."""

    value: PercentValue = 0.0


class PortSelector(Spec, frozen=True):
    """``port: {number: 9090}``."""

    number: PortNumber


def seconds(text: str | None, field: str, notes: Notes, *, positive: bool = False) -> float | None:
    """A duration such as ``1.5s``, ``250ms`` or ``1m30s``; None when there is none.

    ``positive`` where Envoy refuses zero. It counts in milliseconds, so anything shorter is zero.
    """
    if text is None:
        return None
    if not _DURATION.fullmatch(text):
        notes.wrong(field, f"{text!r} is no duration", "write a number and a unit, such as 1.5s")
        return None
    total = sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(text))
    if total > _LONGEST:
        notes.wrong(field, f"{text} is longer than a year", "write a shorter duration")
        return None
    if total < _SHORTEST and (total or positive):
        notes.wrong(field, f"{text} is shorter than a millisecond", "write 1ms or more")
        return None
    return total


def locality_of(written: str) -> Locality:
    """``region/zone/sub-zone``, of which the end may be missing."""
    region, zone, sub_zone = (*written.split("/", 2), "", "")[:3]
    return Locality(region, zone, sub_zone)


def hosts_of(written: Iterable[str], field: str, namespace: str, notes: Notes) -> tuple[str, ...]:
    """The hosts that a rule is about, each once. A bad one rejects the object."""
    hosts: dict[str, None] = {}
    for index, host in enumerate(written):
        if (cause := flaw(host)) is not None:
            notes.wrong(f"{field}[{index}]", f"{host!r}: {cause}", "write a service's DNS name")
        else:
            hosts[expand(host, namespace)] = None
    return tuple(hosts)


def host_of(written: str, field: str, namespace: str, notes: Notes) -> str:
    """A destination's host. A bad one rejects the object."""
    if (cause := flaw(written)) is not None:
        notes.wrong(field, f"{written!r}: {cause}", "write a service's DNS name")
    return expand(written, namespace)
