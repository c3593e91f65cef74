"""How each Envoy type behaves on a stream: the table that configures the xDS engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.protocols.assignments import empty_assignment, empty_layer
from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    RUNTIME,
    SECRET,
    Missing,
    Removal,
    TypeRules,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


def type_table(route_types: Iterable[str]) -> tuple[TypeRules, ...]:
    """In push order: what others name comes first. ``route_types`` are those of the plugins'
    engines; an unknown route table is answered by silence, for an empty one would do harm.
    """
    runtime = TypeRules(RUNTIME, missing_sotw=empty_layer, missing_delta=empty_layer)
    clusters = TypeRules(
        CLUSTER,
        full_state=True,
        wildcard=True,
        missing_delta=Missing.REMOVED,
        removal=Removal.LINGER,
        staged=True,
    )
    endpoints = TypeRules(
        ENDPOINT,
        missing_sotw=empty_assignment,
        missing_delta=Missing.REMOVED,
        removal=Removal.WITH_PARENT,
    )
    listeners = TypeRules(
        LISTENER,
        full_state=True,
        wildcard=True,
        missing_delta=Missing.REMOVED,
        removal=Removal.AT_ONCE,
        gated=True,
        staged=True,
    )
    routes = (TypeRules(url, gated=True, staged=True) for url in sorted(route_types))
    secrets = TypeRules(SECRET, acks_refused=True)
    extensions = TypeRules(EXTENSION, staged=True)
    return (runtime, secrets, clusters, endpoints, listeners, extensions, *routes)
