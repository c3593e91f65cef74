"""Whether an engine can express a route, and what it must do without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meltemi.protocols.api import ANY_OTHER, Engine, ProtocolPlugin
from meltemi.protocols.guard import regex_error
from meltemi.protocols.model import Matcher, MatchKind, Route
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.protocols.model import Ref

ANY_VALUE = {MatchKind.EXACT, MatchKind.PREFIX, MatchKind.SUFFIX}
"""With an empty value these accept any value of a present attribute."""


def normalized(route: Route) -> Route:
    """The same match with one spelling for "any value": ``present``."""
    return replace(route, match={name: _normalized(m) for name, m in route.match.items()})


def _normalized(matcher: Matcher) -> Matcher:
    if matcher.kind is MatchKind.PRESENT or (matcher.kind in ANY_VALUE and not matcher.value):
        return Matcher(MatchKind.PRESENT, inverted=matcher.inverted)
    return matcher


def refusals(route: Route, plugin: ProtocolPlugin, engine: Engine) -> Iterator[Problem]:
    """Why the engine cannot serve the route as it is written. None of these may be repaired by
    leaving something out: that would widen the match.
    """
    for name, matcher in route.match.items():
        where = _attribute(route, name)
        if (cause := _refusal(name, matcher, plugin, engine)) is not None:
            code, text, next_step = cause
            yield Problem(code, where, text, next_step, unserved=True)
    for names in engine.exclusive:
        if names <= route.match.keys():
            both = " and ".join(sorted(names))
            yield Problem(
                "MEL0306",
                route.ref.at(f"{route.ref.field}.match"),
                f"{engine.name} cannot match {both} in one route",
                "use one of them",
                unserved=True,
            )


def _refusal(
    name: str, matcher: Matcher, plugin: ProtocolPlugin, engine: Engine
) -> tuple[str, str, str] | None:
    if name not in plugin.attributes and ANY_OTHER not in plugin.attributes:
        known = ", ".join(sorted(plugin.attributes)) or "none"
        return (
            "MEL0311",
            f"{plugin.name} has no attribute {name!r}",
            f"use one of its attributes: {known}",
        )
    kinds = engine.matches.get(name, engine.matches.get(ANY_OTHER, frozenset()))
    if matcher.kind not in kinds:
        offered = ", ".join(sorted(kind.value for kind in kinds)) or "nothing"
        return (
            "MEL0306",
            f"{engine.name} cannot match {name!r} by {matcher.kind.value}",
            f"it can match it by: {offered}",
        )
    if matcher.inverted and engine.inverts is not None and name not in engine.inverts:
        return (
            "MEL0306",
            f"{engine.name} cannot invert the match of {name!r}",
            "write the routes for the values that you want, above a catch-all",
        )
    if (broken := _broken_regex(matcher)) is not None:
        return broken
    if (error := engine.rejects(name, matcher)) is not None:
        return "MEL0306", f"{engine.name} refuses the match of {name!r}: {error}", "correct it"
    return None


def broken_regexes(route: Route) -> Iterator[Problem]:
    """Those that no engine can serve."""
    for name, matcher in route.match.items():
        if (broken := _broken_regex(matcher)) is not None:
            code, cause, next_step = broken
            yield Problem(code, _attribute(route, name), cause, next_step, unserved=True)


def _broken_regex(matcher: Matcher) -> tuple[str, str, str] | None:
    if matcher.kind is not MatchKind.REGEX or (error := regex_error(matcher.value)) is None:
        return None
    next_step = "RE2 has no look-around and no back-references; it matches the whole value"
    return "MEL0305", f"the regex {matcher.value!r} {error}", next_step


def _attribute(route: Route, name: str) -> Ref:
    return route.ref.at(f"{route.ref.field}.match.attributes[{name}]")


def folded_names(route: Route, engine: Engine) -> Iterator[Problem]:
    """Attributes that the engine will match by a name of other case."""
    if not engine.folds_case:
        return
    for name in route.match:
        if name != name.lower():
            yield Problem(
                "MEL0313",
                _attribute(route, name),
                f"{engine.name} compares the name {name!r} without case",
                f"write {name.lower()!r} to say what happens",
            )


def without_unsupported(route: Route, engine: Engine) -> tuple[Route, tuple[Problem, ...]]:
    """The route without the policies that the engine lacks, each reported."""
    lacking: list[str] = []
    changes: dict[str, object] = {}
    for field, name, offered, nothing in (
        ("timeout", "a timeout", engine.timeouts, None),
        ("attempts", "retries", engine.retries, 0),
        ("mirrors", "a mirror", engine.mirrors, ()),
        ("request_mutations", "a request mutation", engine.mutations, ()),
        ("response_mutations", "a response mutation", engine.mutations, ()),
        ("remove_prefix", "the removal of a prefix", engine.removes_prefix, False),
    ):
        if not offered and getattr(route, field) != nothing:
            lacking.append(name)
            changes[field] = nothing
    problems = tuple(
        Problem(
            "MEL0307",
            route.ref,
            f"{engine.name} has no way to apply {name}; the route works without it",
            "remove it, or serve the port with an engine that has it (docs/engines.md)",
        )
        for name in lacking
    )
    # The table above names fields of Route with values of their types.
    return replace(route, **changes) if changes else route, problems  # type: ignore[arg-type]
