"""Dubbo (Dubbo2 wire, hessian2): route by interface, method and any attachment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.core.v3 import RetryPolicy
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy import v3 as generic
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.action.v3 import RouteAction
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.codecs.dubbo.v3 import (
    DubboCodecConfig,
)
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.matcher.v3 import (
    MethodMatchInput,
    PropertyMatchInput,
    ServiceMatchInput,
)
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.router.v3 import Router
from envoy_data_plane.xds.core.v3 import TypedExtensionConfig as XdsExtension
from envoy_data_plane.xds.type.matcher.v3 import (
    Matcher as XdsMatcher,
)
from envoy_data_plane.xds.type.matcher.v3 import (
    MatcherMatcherList,
    MatcherMatcherListFieldMatcher,
    MatcherMatcherListPredicate,
    MatcherMatcherListPredicatePredicateList,
    MatcherMatcherListPredicateSinglePredicate,
    MatcherOnMatch,
    RegexMatcher,
    RegexMatcherGoogleRe2,
    StringMatcher,
)

from meltemi.protocols.api import (
    ANY_OTHER,
    STRINGS,
    Attribute,
    Compiled,
    Emitted,
    Engine,
    ResolvedRoute,
    Scope,
)
from meltemi.protocols.dubbo_proxy import DUBBO_PROXY, serve_dubbo
from meltemi.protocols.encode import pack
from meltemi.protocols.envoy import ads, extension, network_filter, seconds
from meltemi.protocols.guard import header_name_error
from meltemi.protocols.meta_protocol_proxy import meta_protocol_engine, serve
from meltemi.protocols.model import Matcher, MatchKind
from meltemi.xds.resource import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    import betterproto2

PACKAGE = "envoy.extensions.filters.network.generic_proxy"

GENERIC_PROXY = Engine(
    name="generic_proxy",
    requires=frozenset(
        {
            f"{PACKAGE}.v3.GenericProxy",
            f"{PACKAGE}.codecs.dubbo.v3.DubboCodecConfig",
            f"{PACKAGE}.router.v3.Router",
        }
    ),
    route_type=f"{PREFIX}{PACKAGE}.v3.RouteConfiguration",
    matches={"interface": STRINGS, "method": STRINGS, ANY_OTHER: STRINGS},
    rejects=lambda name, matcher: header_name_error(name),
    timeouts=True,
    retries=True,
)

META_PROTOCOL_PROXY = meta_protocol_engine(
    {"interface": STRINGS, "method": STRINGS, ANY_OTHER: frozenset(MatchKind)}, mutations=True
)


class Dubbo:
    """Dubbo2 frames with hessian2 bodies."""

    name = "dubbo"
    attributes: Mapping[str, Attribute] = {
        "interface": Attribute("The service interface, such as org.demo.Greeter."),
        "method": Attribute("The method's name; a generic invocation's is `$invoke`."),
        "version": Attribute("The service's version; absent when the consumer sets none."),
        "group": Attribute("The service's group."),
        ANY_OTHER: Attribute("A string attachment of that name (RpcContext)."),
    }
    engines = (GENERIC_PROXY, META_PROTOCOL_PROXY, DUBBO_PROXY)

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        """A generic_proxy whose routes arrive by generic RDS, or one of the other engines."""
        if engine.name == META_PROTOCOL_PROXY.name:
            return serve(scope)
        if engine.name == DUBBO_PROXY.name:
            return serve_dubbo(scope)
        proxy = generic.GenericProxy(
            stat_prefix=scope.names.stat_prefix,
            codec_config=extension("envoy.generic_proxy.codecs.dubbo", DubboCodecConfig()),
            generic_rds=generic.GenericRds(
                config_source=ads(), route_config_name=scope.names.route_config
            ),
            filters=[extension("envoy.filters.generic.router", Router())],
        )
        routes = generic.RouteConfiguration(
            name=scope.names.route_config, routes=matcher_tree(scope.routes)
        )
        return Compiled(
            filters=(Emitted(network_filter("envoy.filters.network.generic_proxy", proxy)),),
            route_table=Emitted(
                routes,
                clusters=frozenset(route.cluster for route in scope.routes),
                origins=tuple(route.route.ref for route in scope.routes),
            ),
        )


def matcher_tree(routes: tuple[ResolvedRoute, ...]) -> XdsMatcher:
    """The routes in their order; a route that matches everything ends the list."""
    matchers: list[MatcherMatcherListFieldMatcher] = []
    otherwise: MatcherOnMatch | None = None
    for route in routes:
        if not route.route.match:
            otherwise = on_match(route)
            break
        field_matcher = MatcherMatcherListFieldMatcher(
            predicate=conjunction(route.route.match), on_match=on_match(route)
        )
        matchers.append(field_matcher)
    # The list must not be empty; on_no_match alone is a complete matcher.
    listed = MatcherMatcherList(matchers=matchers) if matchers else None
    return XdsMatcher(matcher_list=listed, on_no_match=otherwise)


def on_match(resolved: ResolvedRoute) -> MatcherOnMatch:
    """To the route's cluster. Unset, the timeout would be 15 s: none written is written as 0."""
    route = resolved.route
    action = RouteAction(
        name=route.name,
        cluster=resolved.cluster,
        timeout=seconds(route.timeout or 0.0),
        # Envoy counts tries, users count retries.
        retry_policy=RetryPolicy(num_retries=route.attempts + 1) if route.attempts else None,
    )
    return MatcherOnMatch(action=xds_extension("route", action))


def conjunction(match: Mapping[str, Matcher]) -> MatcherMatcherListPredicate:
    """All attributes of a match."""
    predicates = [predicate(name, matcher) for name, matcher in sorted(match.items())]
    return every(*predicates) if len(predicates) > 1 else predicates[0]


def predicate(name: str, matcher: Matcher) -> MatcherMatcherListPredicate:
    """The test of one attribute; an absent one fails it, so its inversion holds."""
    test = single(name, string_match(matcher))
    if name == "version" and matcher.kind in {MatchKind.PRESENT, MatchKind.REGEX}:
        # The wire always has a version; a consumer that sets none sends an empty one.
        test = every(single(name, regex("(?s).+")), test)
    return MatcherMatcherListPredicate(not_matcher=test) if matcher.inverted else test


def single(name: str, test: StringMatcher) -> MatcherMatcherListPredicate:
    """A test of one value; an absent one fails it."""
    return MatcherMatcherListPredicate(
        single_predicate=MatcherMatcherListPredicateSinglePredicate(
            input=match_input(name), value_match=test
        )
    )


def every(*predicates: MatcherMatcherListPredicate) -> MatcherMatcherListPredicate:
    """All of these."""
    return MatcherMatcherListPredicate(
        and_matcher=MatcherMatcherListPredicatePredicateList(predicate=[*predicates])
    )


def match_input(name: str) -> XdsExtension:
    """Where generic_proxy finds the attribute."""
    match name:
        case "interface":
            return xds_extension("interface", ServiceMatchInput())
        case "method":
            return xds_extension("method", MethodMatchInput())
        case _:
            return xds_extension(name, PropertyMatchInput(property_name=name))


def string_match(matcher: Matcher) -> StringMatcher:
    """A test of a string. Any value of a present attribute: a regex."""
    match matcher.kind:
        case MatchKind.PREFIX:
            return StringMatcher(prefix=matcher.value)
        case MatchKind.SUFFIX:
            return StringMatcher(suffix=matcher.value)
        case MatchKind.REGEX:
            return regex(matcher.value)
        case MatchKind.EXACT if matcher.value:
            return StringMatcher(exact=matcher.value)
        case _:
            return regex("(?s).*")


def regex(pattern: str) -> StringMatcher:
    """RE2 over the whole value."""
    return StringMatcher(safe_regex=RegexMatcher(google_re2=RegexMatcherGoogleRe2(), regex=pattern))


def xds_extension(name: str, message: betterproto2.Message) -> XdsExtension:
    """An extension in the xds package's own wrapper."""
    return XdsExtension(name=name, typed_config=pack(message))
