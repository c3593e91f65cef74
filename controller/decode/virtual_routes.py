"""The routes of a VirtualService, as far as they say something about requests that are not HTTP's.

A header is an attribute, the method is the method. What cannot be said leaves its route out, never
widens it; a policy that cannot be had does not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec.structs import fields

from meltemi.controller.decode.metarouter import WEIGHTS, destination_of
from meltemi.controller.decode.values import Percent, seconds
from meltemi.controller.decode.virtual_schema import MESH, RequestMatch
from meltemi.protocols.model import Layer, Matcher, MatchKind, Mirror, Remark, Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.decode.schema import Spec
    from meltemi.controller.decode.virtual_schema import (
        ConnectionMatch,
        RequestRoute,
        RouteDestination,
        StringTest,
        VirtualSpec,
    )

    Match = RequestMatch | ConnectionMatch

LEFT_OUT = "MEL0306"
NOT_APPLIED = "MEL0110"

METHOD = "method"

_INSTEAD = frozenset({"redirect", "directResponse", "delegate"})
"""Fields of a route that stand for its destinations."""


def routes(spec: VirtualSpec, notes: Notes) -> Iterator[Route]:
    """Those for requests, then those for connections, each in their order."""
    for i, written in enumerate(spec.http):
        where = f"spec.http[{i}]"
        yield from _each_match(_requests(written, where, notes), written.match, where, notes)
    for i, connections in enumerate(spec.tcp):
        where = f"spec.tcp[{i}]"
        whole = _route(connections.route, where, notes, Layer.CONNECTIONS)
        yield from _each_match(whole, connections.match, where, notes)


def _each_match(
    whole: Route, matches: tuple[Match, ...], where: str, notes: Notes
) -> Iterator[Route]:
    """Any of several matches is enough: each makes a route. Those of gateways make none."""
    if not matches:
        yield _settled(whole, where, notes)
    for j, match in enumerate(matches):
        if match.gateways and MESH not in match.gateways:
            continue
        at = f"{where}.match[{j}]"
        attributes, remarks = _attributes(match, at, notes)
        route = replace(
            whole,
            ref=notes.ref.at(at if len(matches) > 1 else where),
            match=attributes,
            port=match.port or 0,
            remarks=(*whole.remarks, *remarks),
        )
        yield _settled(route, where, notes)


def _settled(route: Route, where: str, notes: Notes) -> Route:
    """With the first reason why it cannot be served, if there is one."""
    remarked = next((remark.cause for remark in route.remarks if remark.unserved), "")
    return replace(route, flaw=notes.flaw(where) or remarked)


def _requests(written: RequestRoute, where: str, notes: Notes) -> Route:
    route = _route(written.route, where, notes, Layer.REQUESTS)
    remarks = [*route.remarks]
    for name in _present(written):
        if name in _INSTEAD:
            remarks.append(_left_out(notes, f"{where}.{name}", "has no meaning but for HTTP"))
        else:
            remarks.append(_not_applied(notes, f"{where}.{name}"))
    remarks += [_not_applied(notes, f"{where}.retries.{n}") for n in _present(written.retries)]
    return replace(
        route,
        name=written.name,
        mirrors=tuple(_mirrors(written, where, notes)),
        # Zero is how Istio writes none.
        timeout=seconds(written.timeout, f"{where}.timeout", notes) or None,
        attempts=written.retries.attempts,
        remarks=tuple(remarks),
    )


def _route(written: tuple[RouteDestination, ...], where: str, notes: Notes, layer: Layer) -> Route:
    """What both kinds have: destinations, whose weights are shares of their sum."""
    remarks = [
        _not_applied(notes, f"{where}.route[{i}].{name}")
        for i, entry in enumerate(written)
        for name in _present(entry)
    ]
    alone = len(written) == 1
    if not alone and written and not any(entry.weight for entry in written):
        cause = "all weights are 0: the route is left out"
        remarks.append(Remark(WEIGHTS, notes.ref.at(where), cause, "write weights", unserved=True))
    destinations = (
        destination_of(
            entry.destination,
            f"{where}.route[{i}].destination",
            notes,
            100 if alone else entry.weight,
        )
        for i, entry in enumerate(written)
    )
    return Route(
        notes.ref.at(where), "", {}, tuple(destinations), layer=layer, remarks=tuple(remarks)
    )


def _mirrors(written: RequestRoute, where: str, notes: Notes) -> Iterator[Mirror]:
    """Without a percentage all requests are mirrored; with 0 none are."""
    shares = [(entry.destination, entry.percentage) for entry in written.mirrors]
    fields = [f"{where}.mirrors[{i}].destination" for i in range(len(shares))]
    if written.mirror is not None:
        old = None if written.mirror_percent is None else Percent(written.mirror_percent)
        shares.append((written.mirror, written.mirror_percentage or old))
        fields.append(f"{where}.mirror")
    for (to, share), field in zip(shares, fields, strict=True):
        if percentage := 100.0 if share is None else share.value:
            yield Mirror(destination_of(to, field, notes), percentage)


def _attributes(match: Match, at: str, notes: Notes) -> tuple[dict[str, Matcher], list[Remark]]:
    """The tests, and why they are not all that the match says."""
    remarks = [
        _left_out(notes, f"{at}.{name}", "cannot be matched here") for name in _present(match)
    ]
    found: dict[str, Matcher] = {}
    if not isinstance(match, RequestMatch):
        return found, remarks
    method = () if match.method is None else ((METHOD, match.method),)
    for field, tests, inverted in (
        ("headers", match.headers.items(), False),
        ("withoutHeaders", match.without_headers.items(), True),
        (METHOD, method, False),
    ):
        for name, test in tests:
            where = f"{at}.{field}" if field == METHOD else f"{at}.{field}[{name}]"
            matcher = _matcher(test, inverted=inverted)
            if matcher is None or name in found:
                remarks.append(_left_out(notes, where, "is not one test of one value"))
            else:
                found[name] = matcher
    return found, remarks


def _matcher(written: StringTest | None, *, inverted: bool) -> Matcher | None:
    """None where it is no single test: an empty ``exact`` would match any value here."""
    tests = (
        {}
        if written is None
        else {
            MatchKind.EXACT: written.exact,
            MatchKind.PREFIX: written.prefix,
            MatchKind.REGEX: written.regex,
        }
    )
    found = [(kind, value) for kind, value in tests.items() if value is not None]
    if not found:
        return Matcher(MatchKind.PRESENT, inverted=inverted)
    ((kind, value), *more) = found
    if more or (kind is MatchKind.EXACT and not value):
        return None
    return Matcher(kind, value, inverted=inverted)


def _present(written: Spec) -> Iterable[str]:
    """The fields without a type: that they are there is all that is known of them."""
    return [
        field.encode_name
        for field in fields(written)
        if field.type is object and getattr(written, field.name) is not None
    ]


def _left_out(notes: Notes, field: str, why: str) -> Remark:
    cause = f"{field} {why}: the route is left out"
    next_step = "match headers (attributes), method or port, or write a MetaRouter"
    return Remark(LEFT_OUT, notes.ref.at(field), cause, next_step, unserved=True)


def _not_applied(notes: Notes, field: str) -> Remark:
    cause = f"{field} is not supported here: the route works without it"
    return Remark(
        NOT_APPLIED, notes.ref.at(field), cause, "remove it, or keep it for other readers"
    )
