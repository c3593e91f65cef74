"""Aeraki's meta_protocol_proxy: one filter with a codec per application, an engine of several
plugins.

Its routes travel as an HTTP RouteConfiguration (MetaRDS), of which the proxy reads one virtual
host: names of routes, header matchers (attributes), clusters, mirrors, added headers (mutations).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    RuntimeFractionalPercent,
)
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    Route,
    RouteAction,
    RouteActionRequestMirrorPolicy,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcherGoogleRe2

from meltemi.protocols._pb import meta_protocol_proxy_pb2 as pb
from meltemi.protocols.api import Compiled, Emitted, Engine
from meltemi.protocols.encode import encode
from meltemi.protocols.envoy import ads, fraction
from meltemi.protocols.foreign import META_PROTOCOL_PROXY, foreign_filter
from meltemi.protocols.guard import header_value_error
from meltemi.protocols.headers import header_matcher, header_matcher_error
from meltemi.protocols.problem import Problem
from meltemi.xds.resource import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meltemi.protocols.api import ResolvedMirror, ResolvedRoute, Scope
    from meltemi.protocols.model import Matcher, MatchKind, Mutation, Ref

DEFAULT_ROUTE = "default"
"""What Aeraki calls the route of a service that no rule routes."""

BUILT_IN_CODECS = {
    "dubbo": "aeraki.meta_protocol.codec.dubbo",
    "thrift": "aeraki.meta_protocol.codec.thrift",
}
"""Those that need no ApplicationProtocol."""

MAX_MUTATIONS = 1000
"""Of a route's requests, and of its responses."""


def meta_protocol_engine(matches: Mapping[str, frozenset[MatchKind]], *, mutations: bool) -> Engine:
    """The engine for applications whose codec exposes these attributes."""
    return Engine(
        name="meta_protocol_proxy",
        requires=frozenset({META_PROTOCOL_PROXY}),
        route_type=f"{PREFIX}envoy.config.route.v3.RouteConfiguration",
        matches=matches,
        rejects=header_matcher_error,
        folds_case=True,
        applications=True,
        mirrors=True,
        mutations=mutations,
    )


def serve(scope: Scope) -> Compiled:
    """A meta_protocol_proxy whose routes arrive by MetaRDS.

    Raises KeyError where neither an ApplicationProtocol nor the proxy itself has a codec; the
    frame does not ask for that.
    """
    application = scope.application
    proxy = pb.MetaProtocolProxy(
        stat_prefix=scope.names.stat_prefix,
        # Not ``protocol``: these two are what Aeraki sends, so every image reads them.
        application_protocol=scope.port.protocol,
        codec=pb.Codec(
            name=application.codec if application else BUILT_IN_CODECS[scope.port.protocol]
        ),
        rds=pb.Rds(
            config_source=pb.ConfigSource.FromString(encode(ads())),
            route_config_name=scope.names.route_config,
        ),
        meta_protocol_filters=[pb.MetaProtocolFilter(name="aeraki.meta_protocol.filters.router")],
    )
    emitted = Emitted(
        foreign_filter("envoy.filters.network.meta_protocol_proxy", proxy),
        origins=(application.ref,) if application else (),
    )
    return Compiled(
        filters=(emitted,),
        route_table=Emitted(
            route_configuration(scope),
            clusters=frozenset(
                name
                for route in scope.routes
                for name in (route.cluster, *(mirror.cluster for mirror in route.mirrors))
            ),
            origins=tuple(route.route.ref for route in scope.routes),
        ),
        problems=tuple(problem for route in scope.routes for problem in refused_mutations(route)),
    )


def route_configuration(scope: Scope) -> RouteConfiguration:
    """The routes in their order. The proxy expects exactly one virtual host and one route or more;
    it crashes on less.
    """
    routes = [http_route(route, scope.port.ref) for route in scope.routes]
    return RouteConfiguration(
        name=scope.names.route_config,
        virtual_hosts=[VirtualHost(name="dummy", domains=["*"], routes=routes)],
    )


def http_route(resolved: ResolvedRoute, port: Ref) -> Route:
    """One route. The frame's own, which no rule wrote, is about the port."""
    route = resolved.route
    return Route(
        name=DEFAULT_ROUTE if route.ref == port else route.name,
        match=RouteMatch(
            prefix="/",
            headers=[attribute_match(name, route.match[name]) for name in sorted(route.match)],
        ),
        route=RouteAction(
            cluster=resolved.cluster,
            request_mirror_policies=[mirror_policy(mirror) for mirror in resolved.mirrors],
        ),
        request_headers_to_add=[*headers_to_add(route.request_mutations)],
        response_headers_to_add=[*headers_to_add(route.response_mutations)],
    )


def attribute_match(name: str, matcher: Matcher) -> HeaderMatcher:
    """A test of one attribute."""
    header = header_matcher(name, matcher)
    test = header.string_match
    if test is not None and test.safe_regex is not None:
        # Older images refuse a regex without its engine. The constructor would warn of it.
        test.safe_regex.google_re2 = RegexMatcherGoogleRe2()
    return header


def mirror_policy(resolved: ResolvedMirror) -> RouteActionRequestMirrorPolicy:
    """The proxy reads the default value alone, and mirrors nothing without one."""
    return RouteActionRequestMirrorPolicy(
        cluster=resolved.cluster,
        runtime_fraction=RuntimeFractionalPercent(
            default_value=fraction(resolved.mirror.percentage)
        ),
    )


def headers_to_add(mutations: Iterable[Mutation]) -> Iterator[HeaderValueOption]:
    """The attributes that are set, in their order."""
    for mutation in accepted(mutations):
        yield HeaderValueOption(header=HeaderValue(key=mutation.key, value=mutation.value))


def accepted(mutations: Iterable[Mutation]) -> list[Mutation]:
    """Those that the proxy does not refuse the whole table for."""
    fine = [each for each in mutations if header_value_error(each.key, each.value) is None]
    return fine[:MAX_MUTATIONS]


def refused_mutations(resolved: ResolvedRoute) -> Iterator[Problem]:
    """A word on each mutation that is left out; the route works without it."""
    route = resolved.route
    for field, mutations in (
        ("requestMutation", route.request_mutations),
        ("responseMutation", route.response_mutations),
    ):
        where = route.ref.at(f"{route.ref.field}.{field}")
        for index, mutation in enumerate(mutations):
            if (error := header_value_error(mutation.key, mutation.value)) is not None:
                about = where.at(f"{where.field}[{index}]")
                yield Problem("MEL0307", about, f"the mutation is left out: {error}", "correct it")
        if len(mutations) > MAX_MUTATIONS:
            cause = f"there are {len(mutations)} mutations: the first {MAX_MUTATIONS} are applied"
            yield Problem("MEL0307", where, cause, "remove some")
