"""Redis: prefix routes, passwords, mirrors and faults whose percentages change without a drain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy_data_plane.envoy.config.core.v3 import DataSource, RuntimeFractionalPercent
from envoy_data_plane.envoy.extensions.filters.network.redis_proxy.v3 import (
    RedisProtocolOptions,
    RedisProxy,
    RedisProxyConnPoolSettings,
    RedisProxyConnPoolSettingsReadPolicy,
    RedisProxyPrefixRoutes,
    RedisProxyPrefixRoutesRoute,
    RedisProxyPrefixRoutesRouteRequestMirrorPolicy,
    RedisProxyRedisFault,
    RedisProxyRedisFaultRedisFaultType,
)
from envoy_data_plane.envoy.type.v3 import FractionalPercent

from meltemi.protocols import naming
from meltemi.protocols._pb import redis_proxy_pb2
from meltemi.protocols.api import (
    Attribute,
    ClusterOptions,
    Compiled,
    Emitted,
    Engine,
    ResolvedMirror,
    ResolvedRoute,
    Scope,
)
from meltemi.protocols.envoy import fraction, network_filter, seconds
from meltemi.protocols.guard import redis_prefix_error
from meltemi.protocols.model import LoadBalancer, MatchKind, RedisFault, RedisSettings
from meltemi.protocols.problem import Problem
from meltemi.protocols.redis_cluster import REDIS_CLUSTER, cluster_findings, cluster_type, is_beyond
from meltemi.protocols.redis_commands import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import betterproto2

FILTER = "envoy.filters.network.redis_proxy"
RESP3_SINCE = (1, 40)

REDIS_PROXY = Engine(
    name="redis_proxy",
    requires=frozenset({"envoy.extensions.filters.network.redis_proxy.v3.RedisProxy"}),
    uses=frozenset({REDIS_CLUSTER}),
    matches={"key": frozenset({MatchKind.PREFIX})},
    inverts=frozenset(),
    rejects=lambda name, matcher: redis_prefix_error(matcher.value),
    splits=False,
    mirrors=True,
    removes_prefix=True,
)


class Redis:
    """Redis and what speaks its protocol (Valkey)."""

    name = "redis"
    attributes: Mapping[str, Attribute] = {"key": Attribute("The command's first key.")}
    engines = (REDIS_PROXY,)

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        """A redis_proxy with its routes inline: it has no route discovery."""
        settings = scope.redis or RedisSettings(scope.service.ref, (scope.service.host,))
        routes, unreachable = reachable(scope.routes, fold=settings.case_insensitive)
        proxy = RedisProxy(
            stat_prefix=scope.names.stat_prefix,
            settings=pool_settings(settings, sharded=bool(scope.sharded)),
            prefix_routes=prefix_routes(routes, settings, rtds=scope.target.rtds),
            faults=[*faults(scope, settings)],
            downstream_auth_passwords=passwords(scope),
            downstream_auth_username=(
                DataSource(inline_string=scope.auth.username)
                if scope.auth and scope.auth.username
                else None
            ),
        )
        resp3 = scope.service.resp == 3 and scope.target.capability.version >= RESP3_SINCE
        extra = [redis_proxy_pb2.RedisProxy(protocol_version=1)] if resp3 else []
        return Compiled(
            filters=(
                Emitted(
                    network_filter(FILTER, proxy, *extra),
                    clusters=frozenset(name for route in routes for name in clusters(route)),
                    origins=(
                        *(route.route.ref for route in routes),
                        *((settings.ref,) if scope.redis else ()),
                    ),
                ),
            ),
            cluster=ClusterOptions(
                protocol_options=upstream_options(scope),
                load_balancer=LoadBalancer.MAGLEV,
                type=cluster_type(scope),
            ),
            locked=is_beyond(scope),
            runtime=runtime(scope, settings, routes) if scope.target.rtds else {},
            problems=(
                *unreachable,
                *findings(scope, settings, routes),
                *cluster_findings(scope, settings),
            ),
        )


def clusters(route: ResolvedRoute) -> tuple[str, ...]:
    """The clusters that a route names."""
    return (route.cluster, *(mirror.cluster for mirror in route.mirrors))


def prefix_of(route: ResolvedRoute) -> str:
    """The route's key prefix; empty for the catch-all."""
    key = route.route.match.get("key")
    return key.value if key and key.kind is MatchKind.PREFIX else ""


def reachable(
    routes: tuple[ResolvedRoute, ...], *, fold: bool
) -> tuple[tuple[ResolvedRoute, ...], tuple[Problem, ...]]:
    """Envoy takes the longest prefix, a rule its first match: routes that an earlier one covers
    are left out, so that both decide alike.
    """
    kept: list[ResolvedRoute] = []
    problems: list[Problem] = []
    for route in routes:
        prefix = _compared(route, fold=fold)
        covering = next((o for o in kept if prefix.startswith(_compared(o, fold=fold))), None)
        if covering is None:
            kept.append(route)
            continue
        problems.append(
            Problem(
                "MEL0310",
                route.route.ref,
                f"every key with prefix {prefix_of(route)!r} is already taken by the route above "
                f"it ({covering.route.ref.field})",
                "move the longer prefix up",
                unserved=True,
            )
        )
    return tuple(kept), tuple(problems)


def _compared(route: ResolvedRoute, *, fold: bool) -> bytes:
    """The prefix as Envoy compares it: by bytes, of which it folds ASCII only."""
    prefix = prefix_of(route).encode(errors="surrogatepass")
    return prefix.lower() if fold else prefix


def pool_settings(settings: RedisSettings, *, sharded: bool) -> RedisProxyConnPoolSettings:
    """Upstream connections. A flush buffer costs each idle call its timeout: unset by default.
    ``sharded``: a node may say that another one has the key now.
    """
    return RedisProxyConnPoolSettings(
        op_timeout=seconds(settings.op_timeout),
        enable_hashtagging=settings.enable_hashtagging,
        enable_redirection=settings.enable_redirection or sharded,
        enable_command_stats=settings.enable_command_stats,
        max_buffer_size_before_flush=settings.max_buffer_size_before_flush,
        buffer_flush_timeout=(
            None
            if settings.buffer_flush_timeout is None
            else seconds(settings.buffer_flush_timeout)
        ),
        max_upstream_unknown_connections=settings.max_upstream_unknown_connections,
        read_policy=RedisProxyConnPoolSettingsReadPolicy[settings.read_policy],
    )


def prefix_routes(
    routes: tuple[ResolvedRoute, ...], settings: RedisSettings, *, rtds: bool
) -> RedisProxyPrefixRoutes:
    """The routes by prefix, and the one without as catch-all."""
    listed = {prefix_of(route): prefix_route(route, rtds=rtds) for route in routes}
    catch_all = listed.pop("", None)
    return RedisProxyPrefixRoutes(
        routes=list(listed.values()),
        case_insensitive=settings.case_insensitive,
        catch_all_route=catch_all,
    )


def prefix_route(route: ResolvedRoute, *, rtds: bool) -> RedisProxyPrefixRoutesRoute:
    """One prefix."""
    return RedisProxyPrefixRoutesRoute(
        prefix=prefix_of(route),
        remove_prefix=route.route.remove_prefix,
        cluster=route.cluster,
        request_mirror_policy=[mirror_policy(mirror, rtds=rtds) for mirror in route.mirrors],
    )


def mirror_policy(
    mirror: ResolvedMirror, *, rtds: bool
) -> RedisProxyPrefixRoutesRouteRequestMirrorPolicy:
    """With a runtime layer the percentage is not in these bytes: changing it drains nothing."""
    percentage = 0.0 if rtds else mirror.mirror.percentage
    return RedisProxyPrefixRoutesRouteRequestMirrorPolicy(
        cluster=mirror.cluster,
        runtime_fraction=RuntimeFractionalPercent(
            default_value=fraction(percentage), runtime_key=mirror.runtime_key if rtds else ""
        ),
        exclude_read_commands=mirror.mirror.exclude_reads,
    )


def locked(scope: Scope) -> bool:
    """A password is asked for and cannot be found."""
    return scope.auth is not None and scope.auth.missing


def passwords(scope: Scope) -> list[DataSource]:
    """What clients must present. A missing Secret locks: somebody who guessed this constant would
    still get nothing, for every command then fails (``faults``).
    """
    if scope.auth is None:
        return []
    return [DataSource(inline_string="locked" if locked(scope) else scope.auth.password)]


def faults(scope: Scope, settings: RedisSettings) -> Iterator[RedisProxyRedisFault]:
    """Injected faults, the lock, and the guard of mirrors."""
    if locked(scope):
        yield error_fault()
    elif any(route.mirrors for route in scope.routes):
        # Mirrors and transactions do not go together.
        yield error_fault("multi")
    for index, fault in enumerate(settings.faults):
        yield injected_fault(scope, index, fault)


def error_fault(*commands: str) -> RedisProxyRedisFault:
    """An error for these commands, or all, that no runtime key can switch off."""
    return RedisProxyRedisFault(
        fault_type=RedisProxyRedisFaultRedisFaultType.ERROR,
        fault_enabled=RuntimeFractionalPercent(default_value=FractionalPercent(numerator=100)),
        commands=list(commands),
    )


def injected_fault(scope: Scope, index: int, fault: RedisFault) -> RedisProxyRedisFault:
    """A fault that a user asked for."""
    key = naming.fault_key(scope.service.host, scope.port.number, index)
    rtds = scope.target.rtds
    return RedisProxyRedisFault(
        fault_type=RedisProxyRedisFaultRedisFaultType[fault.kind],
        fault_enabled=RuntimeFractionalPercent(
            default_value=fraction(0.0 if rtds else fault.percentage),
            runtime_key=key if rtds else "",
        ),
        delay=seconds(fault.delay) if fault.delay else None,
        commands=[command.lower() for command in fault.commands],
    )


def runtime(
    scope: Scope, settings: RedisSettings, routes: tuple[ResolvedRoute, ...]
) -> dict[str, float]:
    """The percentages of mirrors and faults. Envoy takes integers only for faults."""
    values = {
        mirror.runtime_key: mirror.mirror.percentage for route in routes for mirror in route.mirrors
    }
    for index, fault in enumerate(settings.faults):
        key = naming.fault_key(scope.service.host, scope.port.number, index)
        values[key] = round(fault.percentage)
    return values


def upstream_options(scope: Scope) -> dict[str, betterproto2.Message]:
    """How Envoy authenticates to the servers."""
    auth = scope.upstream_auth
    if auth is None or auth.missing:
        return {}
    options = RedisProtocolOptions(
        auth_password=DataSource(inline_string=auth.password),
        auth_username=DataSource(inline_string=auth.username) if auth.username else None,
    )
    return {FILTER: options}


def findings(
    scope: Scope, settings: RedisSettings, routes: tuple[ResolvedRoute, ...]
) -> Iterator[Problem]:
    """What the user should know of this listener."""
    mirrored = next((route for route in routes if route.mirrors), None)
    if mirrored is not None:
        yield Problem(
            "MEL0405",
            mirrored.route.ref,
            "MULTI is refused on this listener while a rule mirrors its commands",
            "remove the mirror where clients use transactions",
        )
    changing = mirrored.route.ref if mirrored else settings.ref if settings.faults else None
    if changing is not None and not scope.target.rtds:
        yield Problem(
            "MEL0406",
            changing,
            "the proxy's node metadata says no rtds: a changed percentage replaces the listener "
            "and drains its connections",
            "start the proxy with the output of `meltemi bootstrap`",
        )
    if scope.service.resp == 3 and scope.target.capability.version < RESP3_SINCE:
        yield Problem(
            "MEL0407",
            scope.service.ref.at("metadata.annotations[meltemi.io/resp]"),
            "Envoy serves RESP3 from 1.40 on",
            "upgrade the proxy, or let clients speak RESP2",
        )
    envoy = scope.target.capability.version
    if refused := lacking(envoy):
        yield Problem(
            "MEL0505",
            scope.port.ref,
            f"Envoy {envoy[0]}.{envoy[1]} answers `unknown command` to {', '.join(refused)}",
            "upgrade the proxy where clients need them; most do without HELLO and CLIENT",
        )
