"""Redis Cluster: Envoy learns its nodes, and who has which keys, from the nodes themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy_data_plane.envoy.extensions.clusters.redis.v3 import RedisClusterConfig

from meltemi.protocols.api import ClusterType
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.protocols.api import Scope
    from meltemi.protocols.model import RedisSettings, RedisUpstream

REDIS_CLUSTER = "envoy.extensions.clusters.redis.v3.RedisClusterConfig"


def cluster_type(scope: Scope) -> ClusterType | None:
    """How the service's clusters find their nodes, if they are to do so."""
    upstream = _sharded(scope)
    if upstream is None or not _has_it(scope):
        return None
    return ClusterType("envoy.clusters.redis", RedisClusterConfig(), upstream.seeds)


def is_beyond(scope: Scope) -> bool:
    """Whether it is a Redis Cluster that this proxy cannot serve. As single servers its nodes would
    send clients elsewhere, or take keys that others have.
    """
    return _sharded(scope) is not None and not _has_it(scope)


def cluster_findings(scope: Scope, settings: RedisSettings) -> Iterator[Problem]:
    """What cannot be had of it, or has no effect without it."""
    upstream = _sharded(scope)
    if upstream is not None and is_beyond(scope):
        yield Problem(
            "MEL0410",
            upstream.ref,
            "this proxy has no envoy.clusters.redis to find the nodes of a Redis Cluster: the "
            "service gets no endpoints, for each node alone has only some of the keys",
            "use an Envoy build that has it",
        )
    if settings.read_policy != "MASTER" and not scope.sharded:
        yield Problem(
            "MEL0411",
            settings.ref.at("spec.settings.readPolicy"),
            f"nothing says who is a replica but a Redis Cluster: {settings.read_policy} reads as "
            "MASTER does",
            "write mode: CLUSTER into the RedisDestination, if it is one",
        )


def _sharded(scope: Scope) -> RedisUpstream | None:
    return scope.upstream if scope.upstream is not None and scope.upstream.cluster else None


def _has_it(scope: Scope) -> bool:
    return REDIS_CLUSTER in scope.target.capability.extensions
