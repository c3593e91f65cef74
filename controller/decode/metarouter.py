"""Aeraki's MetaRouter: routes by any attribute of a request, for every protocol.

A superset of Aeraki's fields: ours are the matchers ``suffix``, ``present``, ``range`` and
``invert``, several ``mirrors``, ``timeout`` and ``retries``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, field

from meltemi.controller.decode.kubernetes import HEAD
from meltemi.controller.decode.schema import Spec
from meltemi.controller.decode.values import (
    Count,
    Percent,
    PercentValue,
    PortSelector,
    host_of,
    hosts_of,
    seconds,
)
from meltemi.protocols.model import (
    Destination,
    Matcher,
    MatchKind,
    Mirror,
    Mutation,
    Route,
    Rule,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.store.objects import Value

WEIGHTS = "MEL0304"

Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Range(Spec, frozen=True):
    """``start <= value < end``."""

    start: Integer
    end: Integer
    STRICT: ClassVar[bool] = True


class AttributeMatch(Spec, frozen=True):
    """One of these tests; none of them means that the attribute is present."""

    exact: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    regex: str | None = None
    present: bool | None = None
    range: Range | None = None
    invert: bool = False
    STRICT: ClassVar[bool] = True


class RouteMatch(Spec, frozen=True):
    """All of them must hold."""

    attributes: dict[str, AttributeMatch | None] = field(
        default_factory=dict[str, AttributeMatch | None]
    )
    STRICT: ClassVar[bool] = True


class WrittenDestination(Spec, frozen=True):
    """Where requests go. Without a port, to the one that the route serves."""

    host: str
    subset: str = ""
    port: PortSelector | None = None


class RouteDestination(WrittenDestination, frozen=True):
    """Of a route: a misspelt ``subset`` would send its requests to every version."""

    STRICT: ClassVar[bool] = True


class WeightedDestination(Spec, frozen=True):
    """One of ``route``."""

    destination: RouteDestination
    weight: Count = 0
    STRICT: ClassVar[bool] = True


class WrittenMirror(Spec, frozen=True):
    """One of ``mirrors``: 0 is off."""

    destination: WrittenDestination
    percentage: PercentValue | Percent = 100.0


class KeyValue(Spec, frozen=True):
    """An attribute to set."""

    key: str
    value: str


class Retries(Spec, frozen=True):
    """``attempts`` is the number of retries after the first try."""

    attempts: Annotated[int, Meta(ge=0, le=100)]


class WrittenRoute(Spec, frozen=True):
    """One of ``spec.routes``."""

    name: str = ""
    match: RouteMatch = RouteMatch()
    route: tuple[WeightedDestination, ...] = ()
    mirror: WrittenDestination | None = None
    mirror_percentage: Percent | None = None
    mirrors: tuple[WrittenMirror, ...] = ()
    request_mutation: tuple[KeyValue, ...] = ()
    response_mutation: tuple[KeyValue, ...] = ()
    timeout: str | None = None
    retries: Retries | None = None
    STRICT: ClassVar[bool] = True


class RouterSpec(Spec, frozen=True):
    """``spec``. Limits and gateways come later; an object may consist of limits alone."""

    hosts: tuple[str, ...]
    routes: tuple[WrittenRoute, ...] = ()
    export_to: tuple[str, ...] = ()
    local_rate_limit: dict[str, object] | None = None
    global_rate_limit: dict[str, object] | None = None
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"gateways"})


class RouterObject(Spec, frozen=True):
    """A MetaRouter."""

    spec: RouterSpec
    IGNORED: ClassVar[frozenset[str]] = HEAD


def meta_router(written: RouterObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """The routes of one host, in the order in which they are tried."""
    spec = written.spec
    if len(spec.hosts) != 1:
        cause = f"spec.hosts has {len(spec.hosts)} entries"
        notes.wrong("spec.hosts", cause, "write exactly one host; use one MetaRouter for each")
    limits = {"localRateLimit": spec.local_rate_limit, "globalRateLimit": spec.global_rate_limit}
    for name, limit in limits.items():
        if limit is not None:
            notes.unsupported(f"spec.{name}")
    if not spec.routes and not any(limit is not None for limit in limits.values()):
        # A half-written object looks like this: it must not take all routes away.
        notes.missing("spec.routes", "add a route, or delete the object")
    yield Rule(
        ref=notes.ref,
        hosts=hosts_of(spec.hosts, "spec.hosts", meta.namespace, notes),
        routes=tuple(
            _route(route, f"spec.routes[{i}]", notes) for i, route in enumerate(spec.routes)
        ),
        created=meta.creation_timestamp,
        export_to=spec.export_to or ("*",),
    )


def _route(written: WrittenRoute, where: str, notes: Notes) -> Route:
    """A route that must be left out stays with its flaw: it is reported, the others are served."""
    if not written.route:
        notes.missing(f"{where}.route", "add the destination that requests go to")
    if (flaw := _flawed_weights(written.route)) is not None:
        cause = f"{flaw}: the route is left out"
        next_step = "make each weight at most 100 and their sum 100"
        notes.add(WEIGHTS, where, cause, next_step, unserved=True)
    return Route(
        ref=notes.ref.at(where),
        name=written.name,
        match=dict(_matchers(written.match, f"{where}.match.attributes", notes)),
        destinations=tuple(_destinations(written, where, notes)),
        mirrors=tuple(_mirrors(written, where, notes)),
        request_mutations=tuple(_mutations(written.request_mutation, notes, where)),
        response_mutations=tuple(_mutations(written.response_mutation, notes, where)),
        timeout=seconds(written.timeout, f"{where}.timeout", notes),
        attempts=0 if written.retries is None else written.retries.attempts,
        flaw=notes.flaw(where),
    )


def _flawed_weights(written: tuple[WeightedDestination, ...]) -> str | None:
    weights = [entry.weight for entry in written]
    if any(weight > 100 for weight in weights):
        return f"a weight is {max(weights)}"
    if len(weights) > 1 and sum(weights) != 100:
        return f"the weights are {', '.join(map(str, weights))}, their sum is {sum(weights)}"
    return None


def _destinations(written: WrittenRoute, where: str, notes: Notes) -> Iterator[Destination]:
    """A single destination takes everything, whatever its weight says."""
    alone = len(written.route) == 1
    for i, entry in enumerate(written.route):
        field = f"{where}.route[{i}].destination"
        yield destination_of(entry.destination, field, notes, 100 if alone else entry.weight)


def destination_of(
    written: WrittenDestination, where: str, notes: Notes, weight: int = 100
) -> Destination:
    return Destination(
        host=host_of(written.host, f"{where}.host", notes.ref.namespace, notes),
        port=0 if written.port is None else written.port.number,
        subset=written.subset,
        weight=weight,
    )


def _mirrors(written: WrittenRoute, where: str, notes: Notes) -> Iterator[Mirror]:
    """Aeraki's one mirror, where an absent or zero percentage means all, then ours."""
    if written.mirror is not None:
        percentage = 0.0 if written.mirror_percentage is None else written.mirror_percentage.value
        yield Mirror(destination_of(written.mirror, f"{where}.mirror", notes), percentage or 100.0)
    elif written.mirror_percentage is not None:
        notes.missing(f"{where}.mirror", "add the mirror, or remove mirrorPercentage")
    for i, mirror in enumerate(written.mirrors):
        share = mirror.percentage
        percentage = share.value if isinstance(share, Percent) else share
        field = f"{where}.mirrors[{i}].destination"
        yield Mirror(destination_of(mirror.destination, field, notes), percentage)


def _mutations(written: tuple[KeyValue, ...], notes: Notes, where: str) -> Iterator[Mutation]:
    for entry in written:
        if not entry.key:
            notes.wrong(where, "a mutation has an empty key", "name the attribute to set")
        yield Mutation(entry.key, entry.value)


def _matchers(written: RouteMatch, where: str, notes: Notes) -> Iterator[tuple[str, Matcher]]:
    for name, match in written.attributes.items():
        if not name:
            notes.wrong(where, "an attribute's name is empty", "name the attribute")
        yield name, _matcher(match or AttributeMatch(), f"{where}[{name}]", notes)


def _matcher(written: AttributeMatch, where: str, notes: Notes) -> Matcher:
    found = list(_tests(written))
    if len(found) > 1:
        names = " and ".join(test.kind.value for test in found)
        notes.wrong(where, f"{names} exclude each other", "write one of them")
    if (span := written.range) is not None and span.start >= span.end:
        cause = f"no number is at least {span.start} and below {span.end}"
        notes.wrong(f"{where}.range", cause, "make start less than end")
    return found[0] if found else Matcher(MatchKind.PRESENT, inverted=written.invert)


def _tests(written: AttributeMatch) -> Iterator[Matcher]:
    """Aeraki's spelling of presence is the regex ``*``, which is no regex."""
    inverted = written.invert
    if written.exact is not None:
        yield Matcher(MatchKind.EXACT, written.exact, inverted=inverted)
    if written.prefix is not None:
        yield Matcher(MatchKind.PREFIX, written.prefix, inverted=inverted)
    if written.suffix is not None:
        yield Matcher(MatchKind.SUFFIX, written.suffix, inverted=inverted)
    if written.regex == "*":
        yield Matcher(MatchKind.PRESENT, inverted=inverted)
    elif written.regex is not None:
        yield Matcher(MatchKind.REGEX, written.regex, inverted=inverted)
    if written.present is not None:
        yield Matcher(MatchKind.PRESENT, inverted=inverted == written.present)
    if (span := written.range) is not None:
        yield Matcher(MatchKind.RANGE, start=span.start, end=span.end, inverted=inverted)
