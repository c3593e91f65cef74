"""Envoy's dubbo_proxy, an engine of Dubbo that is used only where somebody allows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy_data_plane.envoy.extensions.filters.network.dubbo_proxy import v3 as dubbo
from envoy_data_plane.envoy.extensions.filters.network.dubbo_proxy.router.v3 import Router
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher

from meltemi.protocols.api import ANY_OTHER, STRINGS, Compiled, Emitted, Engine
from meltemi.protocols.encode import pack
from meltemi.protocols.envoy import ads, network_filter
from meltemi.protocols.headers import header_matcher, header_matcher_error, string_match
from meltemi.protocols.model import Matcher, MatchKind
from meltemi.protocols.problem import Problem
from meltemi.xds.resource import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meltemi.protocols.api import ResolvedRoute, Scope

PACKAGE = "envoy.extensions.filters.network.dubbo_proxy"

ANY_TEXT = "*"
ANY_METHOD = StringMatcher(safe_regex=RegexMatcher(regex="(?s).*"))
"""Envoy refuses a route that names no method."""

ANY = Matcher(MatchKind.PRESENT)

FIELDS = frozenset({"interface", "method", "version"})
"""What has a place of its own in a route, where nothing can be inverted; all else is headers."""


def rejects(name: str, matcher: Matcher) -> str | None:
    """What a route cannot say, or would say differently."""
    if name not in FIELDS:
        return header_matcher_error(name, matcher)
    if matcher.inverted:
        return "it cannot be inverted"
    if name == "interface" and ANY_TEXT in matcher.value:
        return f"{ANY_TEXT} stands for any text there"
    return None


DUBBO_PROXY = Engine(
    name="dubbo_proxy",
    requires=frozenset({f"{PACKAGE}.v3.DubboProxy", f"{PACKAGE}.router.v3.Router"}),
    route_type=f"{PREFIX}{PACKAGE}.v3.MultipleRouteConfiguration",
    matches={
        "interface": STRINGS - {MatchKind.REGEX},
        "method": STRINGS,
        "version": frozenset({MatchKind.EXACT}),
        ANY_OTHER: frozenset(MatchKind),
    },
    rejects=rejects,
    folds_case=True,
    on_leave=True,
)


def serve_dubbo(scope: Scope) -> Compiled:
    """A dubbo_proxy whose routes arrive by DRDS."""
    proxy = dubbo.DubboProxy(
        stat_prefix=scope.names.stat_prefix,
        drds=dubbo.Drds(config_source=ads(), route_config_name=scope.names.route_config),
        dubbo_filters=[dubbo.DubboFilter(name="envoy.filters.dubbo.router", config=pack(Router()))],
    )
    routes = dubbo.MultipleRouteConfiguration(
        name=scope.names.route_config,
        route_config=[
            configuration
            for route in scope.routes
            for configuration in configurations(scope.names.route_config, route)
        ],
    )
    return Compiled(
        filters=(Emitted(network_filter("envoy.filters.network.dubbo_proxy", proxy)),),
        route_table=Emitted(
            routes,
            clusters=frozenset(route.cluster for route in scope.routes),
            origins=tuple(route.route.ref for route in scope.routes),
        ),
        problems=(
            Problem(
                "MEL0506",
                scope.port.ref,
                "dubbo_proxy serves the port, as it is allowed to; it is not recommended",
                "use a proxy that has generic_proxy",
            ),
        ),
    )


def configurations(name: str, resolved: ResolvedRoute) -> Iterator[dubbo.RouteConfiguration]:
    """One route. Envoy tries configurations in their order, and a configuration's interface and
    version are for all of its routes: so each route has its own.
    """
    match = resolved.route.match
    version = match.get("version")
    action = dubbo.RouteAction(cluster=resolved.cluster)
    route = dubbo.Route(match=route_match(match), route=action)
    for interface in interfaces(match.get("interface", ANY)):
        yield dubbo.RouteConfiguration(
            name=name,
            interface=interface,
            version=version.value if version else "",
            routes=[route],
        )


def interfaces(matcher: Matcher) -> tuple[str, ...]:
    """The name, or what it begins or ends with: there, Envoy wants something before or after it."""
    value = matcher.value
    match matcher.kind:
        case MatchKind.EXACT:
            return (value,)
        case MatchKind.PREFIX:
            return value, f"{value}{ANY_TEXT}"
        case MatchKind.SUFFIX:
            return value, f"{ANY_TEXT}{value}"
        case _:
            return (ANY_TEXT,)


def route_match(match: Mapping[str, Matcher]) -> dubbo.RouteMatch:
    """The method and the attachments, which are headers to Envoy."""
    method = match.get("method", ANY)
    anything = method.kind is MatchKind.PRESENT
    return dubbo.RouteMatch(
        method=dubbo.MethodMatch(name=ANY_METHOD if anything else string_match(method)),
        headers=[header_matcher(name, match[name]) for name in sorted(match) if name not in FIELDS],
    )
