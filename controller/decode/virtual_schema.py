"""The fields of Istio's VirtualService that are read, or whose presence is told."""

from __future__ import annotations

from typing import ClassVar

from msgspec import field

from meltemi.controller.decode.kubernetes import HEAD
from meltemi.controller.decode.metarouter import WrittenDestination
from meltemi.controller.decode.schema import Spec
from meltemi.controller.decode.values import Count, Percent, PercentValue, PortNumber

MESH = "mesh"
"""The gateway that stands for all proxies but gateways."""


class StringTest(Spec, frozen=True):
    """One of these; none of them means that the value is present."""

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None
    STRICT: ClassVar[bool] = True


class RequestMatch(Spec, frozen=True):
    """One of ``http[].match``. An ``object`` is never looked into: that it is there is told."""

    headers: dict[str, StringTest | None] = field(default_factory=dict[str, StringTest | None])
    without_headers: dict[str, StringTest | None] = field(
        default_factory=dict[str, StringTest | None]
    )
    method: StringTest | None = None
    port: PortNumber | None = None
    gateways: tuple[str, ...] = ()
    uri: object = None
    scheme: object = None
    authority: object = None
    query_params: object = None
    source_labels: object = None
    source_namespace: object = None
    IGNORED: ClassVar[frozenset[str]] = frozenset({"ignoreUriCase", "name", "statPrefix"})
    STRICT: ClassVar[bool] = True


class RouteDestination(Spec, frozen=True):
    """One of ``route``. Weights are shares of their sum."""

    destination: WrittenDestination
    weight: Count = 0
    headers: object = None
    STRICT: ClassVar[bool] = True


class RequestRetries(Spec, frozen=True):
    """``retries``: how often counts, on what does not."""

    attempts: Count = 0
    per_try_timeout: object = None
    retry_on: object = None
    retry_remote_localities: object = None
    retry_ignore_previous_hosts: object = None
    backoff: object = None


class MirrorDestination(Spec, frozen=True):
    """One of ``mirrors``."""

    destination: WrittenDestination
    percentage: Percent | None = None


class RequestRoute(Spec, frozen=True):
    """One of ``http``."""

    name: str = ""
    match: tuple[RequestMatch, ...] = ()
    route: tuple[RouteDestination, ...] = ()
    timeout: str | None = None
    retries: RequestRetries = RequestRetries()
    mirror: WrittenDestination | None = None
    mirror_percentage: Percent | None = None
    mirror_percent: PercentValue | None = None
    mirrors: tuple[MirrorDestination, ...] = ()
    redirect: object = None
    direct_response: object = None
    delegate: object = None
    rewrite: object = None
    fault: object = None
    cors_policy: object = None
    headers: object = None
    STRICT: ClassVar[bool] = True


class ConnectionMatch(Spec, frozen=True):
    """One of ``tcp[].match``."""

    port: PortNumber | None = None
    gateways: tuple[str, ...] = ()
    destination_subnets: object = None
    source_subnet: object = None
    source_labels: object = None
    source_namespace: object = None
    STRICT: ClassVar[bool] = True


class ConnectionRoute(Spec, frozen=True):
    """One of ``tcp``."""

    match: tuple[ConnectionMatch, ...] = ()
    route: tuple[RouteDestination, ...] = ()
    STRICT: ClassVar[bool] = True


class VirtualSpec(Spec, frozen=True):
    """``spec``. Without gateways it is for the mesh."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[RequestRoute, ...] = ()
    tcp: tuple[ConnectionRoute, ...] = ()
    tls: object = None
    export_to: tuple[str, ...] = ()


class VirtualObject(Spec, frozen=True):
    """A VirtualService."""

    spec: VirtualSpec
    IGNORED: ClassVar[frozenset[str]] = HEAD
