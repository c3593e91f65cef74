"""Which route a request takes, and why: the reference that every engine is held against.

Written from ``model`` alone and independent of the plugins, so that a shared mistake cannot hide.
The order of the routes is the order of precedence; a plugin whose engine has its own order (Redis:
longest prefix) is given routes in that order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from re import compile as compile_text
from types import MappingProxyType
from typing import TYPE_CHECKING

import re2

from meltemi.protocols.model import MatchKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meltemi.protocols.model import Matcher, Ref, Route

# What Envoy's range match reads (absl::SimpleAtoi): a signed 64-bit decimal, blanks around it.
_DECIMAL = compile_text(r"[ \t-\r]*([+-]?)0*([0-9]{1,19})[ \t-\r]*")
_INT64 = range(-(2**63), 2**63)

REGEX_BYTES_SINCE = (1, 39)
"""From here on Envoy's regexes read bytes: ``.`` is one byte of a UTF-8 letter, not the letter."""

_VERBS = {
    MatchKind.PREFIX: ("starts with", "does not start with"),
    MatchKind.SUFFIX: ("ends with", "does not end with"),
    MatchKind.REGEX: ("matches the regex", "does not match the regex"),
}


@dataclass(frozen=True, slots=True)
class Considered:
    """One route that was looked at. ``reason`` is a sentence without its full stop."""

    ref: Ref
    name: str
    matched: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The route that serves the request, if any, and every route up to it, in order."""

    route: Route | None
    considered: tuple[Considered, ...]


def decide(
    routes: Sequence[Route],
    attributes: Mapping[str, str],
    unserved: Mapping[Ref, str] = MappingProxyType({}),
    *,
    envoy: tuple[int, int] = REGEX_BYTES_SINCE,
) -> Decision:
    """The first route whose whole match holds for a request with these attributes.

    Names of attributes are exact. ``unserved`` holds the routes that the engine does not have, by
    their ``ref``, and why: they never match. Neither does a route whose regex is not RE2.
    ``envoy`` is the proxy's (major, minor).
    """
    by_bytes = envoy >= REGEX_BYTES_SINCE
    considered: list[Considered] = []
    for route in routes:
        verdict = _consider(route, attributes, unserved.get(route.ref), by_bytes=by_bytes)
        considered.append(verdict)
        if verdict.matched:
            return Decision(route, tuple(considered))
    return Decision(None, tuple(considered))


def _consider(
    route: Route, attributes: Mapping[str, str], left_out: str | None, *, by_bytes: bool
) -> Considered:
    if left_out is not None:
        return Considered(route.ref, route.name, matched=False, reason=left_out)
    if not route.match:
        return Considered(route.ref, route.name, matched=True, reason="it matches every request")
    tests = [
        _test(name, matcher, attributes.get(name), by_bytes=by_bytes)
        for name, matcher in route.match.items()
    ]
    matched = all(passed for passed, _ in tests)
    told = [reason for passed, reason in tests if passed is matched]
    return Considered(route.ref, route.name, matched, " and ".join(told))


def _test(name: str, matcher: Matcher, value: str | None, *, by_bytes: bool) -> tuple[bool, str]:
    """Whether the attribute passes, and a clause that says so."""
    if matcher.kind is MatchKind.REGEX and _regex(matcher.value, by_bytes=by_bytes) is None:
        return False, f"the regex {matcher.value!r} for {name} is not RE2"
    held = value is not None and _holds(matcher, value, by_bytes=by_bytes)
    clause = _clause(name, matcher, value, held=held)
    return held is not matcher.inverted, f"{clause} (inverted)" if matcher.inverted else clause


def _holds(matcher: Matcher, value: str, *, by_bytes: bool) -> bool:
    match matcher.kind:
        case MatchKind.EXACT:
            return matcher.value in ("", value)
        case MatchKind.PREFIX:
            return value.startswith(matcher.value)
        case MatchKind.SUFFIX:
            return value.endswith(matcher.value)
        case MatchKind.REGEX:
            regex = _regex(matcher.value, by_bytes=by_bytes)
            return regex is not None and regex(_bytes(value)) is not None
        case MatchKind.PRESENT:
            return True
        case MatchKind.RANGE:
            number = _decimal(value)
            return number is not None and matcher.start <= number < matcher.end


def _clause(name: str, matcher: Matcher, value: str | None, *, held: bool) -> str:
    if value is None:
        return f"attribute {name!r} is absent"
    if matcher.kind is MatchKind.PRESENT or (matcher.kind is MatchKind.EXACT and not matcher.value):
        return f"{name} is present"
    if matcher.kind is MatchKind.EXACT:
        return f"{name} is {value!r}" if held else f"{name} is {value!r}, not {matcher.value!r}"
    return f"{name} is {value!r}, which {_relation(matcher, held=held)}"


def _relation(matcher: Matcher, *, held: bool) -> str:
    if matcher.kind is MatchKind.RANGE:
        bounds = f"from {matcher.start} up to, not including, {matcher.end}"
        return f"is {'' if held else 'not '}a number {bounds}"
    yes, no = _VERBS[matcher.kind]
    return f"{yes if held else no} {matcher.value!r}"


def _decimal(value: str) -> int | None:
    text = _DECIMAL.fullmatch(value)
    if text is None:
        return None
    number = int(text[1] + text[2])
    return number if number in _INT64 else None


@lru_cache(maxsize=256)
def _regex(pattern: str, *, by_bytes: bool) -> Callable[[bytes], object] | None:
    """The full match of a pattern, None when it is not RE2."""
    options = re2.Options()
    encodings = re2.Options.Encoding
    options.encoding = encodings.LATIN1 if by_bytes else encodings.UTF8
    options.log_errors = False
    try:
        return re2.compile(_bytes(pattern), options).fullmatch
    except re2.error:
        return None


def _bytes(text: str) -> bytes:
    # A lone surrogate can be written in JSON; it must not raise here.
    return text.encode("utf-8", "surrogatepass")
