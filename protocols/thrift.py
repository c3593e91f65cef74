"""Thrift: route by method, service (of a multiplexed call) and THeader headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.core.v3 import RuntimeFractionalPercent
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.filters.network.thrift_proxy import v3 as thrift
from envoy_data_plane.envoy.extensions.filters.network.thrift_proxy.router.v3 import Router

from meltemi.protocols.api import (
    ANY_OTHER,
    STRINGS,
    Attribute,
    Compiled,
    Emitted,
    Engine,
    ResolvedMirror,
    ResolvedRoute,
    Scope,
)
from meltemi.protocols.encode import pack
from meltemi.protocols.envoy import ads, fraction, network_filter
from meltemi.protocols.headers import header_matcher, header_matcher_error
from meltemi.protocols.meta_protocol_proxy import meta_protocol_engine, serve
from meltemi.protocols.model import Matcher, MatchKind
from meltemi.xds.resource import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGE = "envoy.extensions.filters.network.thrift_proxy"


def rejects(name: str, matcher: Matcher) -> str | None:
    """What a RouteMatch cannot say, or would say differently."""
    if name == "service" and ":" in matcher.value:
        return "the name of a service ends before the colon"
    return header_matcher_error(name, matcher)


THRIFT_PROXY = Engine(
    name="thrift_proxy",
    requires=frozenset({f"{PACKAGE}.v3.ThriftProxy"}),
    route_type=f"{PREFIX}{PACKAGE}.v3.RouteConfiguration",
    matches={
        "method": frozenset({MatchKind.EXACT, MatchKind.PRESENT}),
        "service": frozenset({MatchKind.EXACT}),
        ANY_OTHER: frozenset(MatchKind),
    },
    # One RouteMatch names a method or a service, and its ``invert`` covers only that.
    exclusive=(frozenset({"method", "service"}),),
    rejects=rejects,
    folds_case=True,
    mirrors=True,
)

# Its codec exposes nothing but the method, and cannot write.
META_PROTOCOL_PROXY = meta_protocol_engine({"method": STRINGS}, mutations=False)


ANY_VALUE = Matcher(MatchKind.PRESENT)

NEVER = (
    HeaderMatcher(name="meltemi-never", present_match=True),
    HeaderMatcher(name="meltemi-never", present_match=True, invert_match=True),
)
"""Envoy refuses the inversion of every method; no request passes both of these."""


class Thrift:
    """Apache Thrift, framed, unframed or THeader, binary or compact."""

    name = "thrift"
    attributes: Mapping[str, Attribute] = {
        "method": Attribute("The method's name; a multiplexed call's is `Service:method`."),
        "service": Attribute("The service's name of a multiplexed call (before the colon)."),
        ANY_OTHER: Attribute("A THeader header of that name."),
    }
    engines = (THRIFT_PROXY, META_PROTOCOL_PROXY)

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        """A thrift_proxy whose routes arrive by TRDS, or a meta_protocol_proxy."""
        if engine.name == META_PROTOCOL_PROXY.name:
            return serve(scope)
        routes = thrift.RouteConfiguration(
            name=scope.names.route_config, routes=[thrift_route(route) for route in scope.routes]
        )
        # On an upstream's error the client's connection must live on.
        router = Router(close_downstream_on_upstream_error=False)
        proxy = thrift.ThriftProxy(
            stat_prefix=scope.names.stat_prefix,
            trds=thrift.Trds(config_source=ads(), route_config_name=scope.names.route_config),
            thrift_filters=[
                thrift.ThriftFilter(name="envoy.filters.thrift.router", typed_config=pack(router))
            ],
        )
        return Compiled(
            filters=(Emitted(network_filter("envoy.filters.network.thrift_proxy", proxy)),),
            route_table=Emitted(
                routes,
                clusters=frozenset(
                    name
                    for route in scope.routes
                    for name in (route.cluster, *(mirror.cluster for mirror in route.mirrors))
                ),
                origins=tuple(route.route.ref for route in scope.routes),
            ),
        )


def thrift_route(resolved: ResolvedRoute) -> thrift.Route:
    """One route; a match without method and service names every method."""
    action = thrift.RouteAction(
        cluster=resolved.cluster,
        request_mirror_policies=[mirror_policy(mirror) for mirror in resolved.mirrors],
    )
    return thrift.Route(match=route_match(resolved.route.match), route=action)


def route_match(match: Mapping[str, Matcher]) -> thrift.RouteMatch:
    """The conjunction of a method or service and headers."""
    headers = [
        header_matcher(name, matcher)
        for name, matcher in sorted(match.items())
        if name not in {"method", "service"}
    ]
    if (service := match.get("service")) is not None:
        return thrift.RouteMatch(
            service_name=service.value, invert=service.inverted, headers=headers
        )
    method = match.get("method", ANY_VALUE)
    if method.inverted and not method.value:
        return thrift.RouteMatch(method_name="", headers=[*headers, *NEVER])
    return thrift.RouteMatch(method_name=method.value, invert=method.inverted, headers=headers)


def mirror_policy(resolved: ResolvedMirror) -> thrift.RouteActionRequestMirrorPolicy:
    """thrift_proxy ignores the default where no runtime key is written: so one always is."""
    return thrift.RouteActionRequestMirrorPolicy(
        cluster=resolved.cluster,
        runtime_fraction=RuntimeFractionalPercent(
            default_value=fraction(resolved.mirror.percentage),
            runtime_key=resolved.runtime_key,
        ),
    )
