"""TCP: what remains where a proxy lacks a protocol's filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy

from meltemi.protocols.api import Attribute, ClusterOptions, Compiled, Emitted, Engine, Scope
from meltemi.protocols.envoy import network_filter

if TYPE_CHECKING:
    from collections.abc import Mapping

TCP_PROXY = Engine(
    name="tcp_proxy",
    requires=frozenset({"envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"}),
)


class Tcp:
    """Connections without a look inside; a weighted route splits them per connection."""

    name = "tcp"
    attributes: Mapping[str, Attribute] = {}
    engines = (TCP_PROXY,)

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        """One filter to the first route's cluster: nothing else can match."""
        route = scope.routes[0]
        proxy = TcpProxy(stat_prefix=scope.names.stat_prefix, cluster=route.cluster)
        emitted = Emitted(
            network_filter("envoy.filters.network.tcp_proxy", proxy),
            clusters=frozenset({route.cluster}),
            origins=(route.route.ref,),
        )
        return Compiled(filters=(emitted,), cluster=ClusterOptions(health_check=None))
