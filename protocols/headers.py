"""A matcher of an attribute as Envoy's HeaderMatcher: for Thrift's headers, and by MetaRDS for any
attribute.
"""

from __future__ import annotations

from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import Int64Range

from meltemi.protocols.guard import accepts_empty, header_name_error
from meltemi.protocols.model import Matcher, MatchKind


def header_matcher_error(name: str, matcher: Matcher) -> str | None:
    """What a HeaderMatcher cannot say, or would say differently."""
    inverted = matcher.inverted and matcher.kind is MatchKind.REGEX
    if inverted and accepts_empty(matcher.value):
        # ``header_matcher``: inverted, an absent header is compared as an empty one.
        return "inverted, it would not match requests without the header"
    return header_name_error(name)


def header_matcher(name: str, matcher: Matcher) -> HeaderMatcher:
    """A test of one header. An absent one fails every test, so that its inversion holds: Envoy does
    so for presence only, elsewhere it must be told to take an empty header instead.
    """
    if matcher.kind is MatchKind.PRESENT:
        return HeaderMatcher(name=name, present_match=True, invert_match=matcher.inverted)
    ranged = matcher.kind is MatchKind.RANGE
    return HeaderMatcher(
        name=name,
        range_match=Int64Range(start=matcher.start, end=matcher.end) if ranged else None,
        string_match=None if ranged else string_match(matcher),
        invert_match=matcher.inverted,
        treat_missing_header_as_empty=matcher.inverted,
    )


def string_match(matcher: Matcher) -> StringMatcher:
    """A test of a string."""
    match matcher.kind:
        case MatchKind.PREFIX:
            return StringMatcher(prefix=matcher.value)
        case MatchKind.SUFFIX:
            return StringMatcher(suffix=matcher.value)
        case MatchKind.REGEX:
            return StringMatcher(safe_regex=RegexMatcher(regex=matcher.value))
        case _:
            return StringMatcher(exact=matcher.value)
