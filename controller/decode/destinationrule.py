"""Istio's DestinationRule: subsets, and how connections to a host are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from msgspec import field

from meltemi.controller.decode.kubernetes import HEAD
from meltemi.controller.decode.schema import Spec
from meltemi.controller.decode.values import Count, PercentValue, PortSelector, host_of, seconds
from meltemi.protocols.model import (
    DestinationPolicy,
    LoadBalancer,
    OutlierDetection,
    Subset,
    TrafficPolicy,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.store.objects import Value

_BALANCERS = {
    "ROUND_ROBIN": LoadBalancer.ROUND_ROBIN,
    "LEAST_REQUEST": LoadBalancer.LEAST_REQUEST,
    "LEAST_CONN": LoadBalancer.LEAST_REQUEST,
    "RANDOM": LoadBalancer.RANDOM,
    "MAGLEV": LoadBalancer.MAGLEV,
}


class Balancing(Spec, frozen=True):
    """``loadBalancer``."""

    simple: Literal[
        "UNSPECIFIED",
        "ROUND_ROBIN",
        "LEAST_REQUEST",
        "LEAST_CONN",
        "RANDOM",
        "MAGLEV",
        "PASSTHROUGH",
    ] = "UNSPECIFIED"
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {"consistentHash", "localityLbSetting", "warmup", "warmupDurationSecs"}
    )


class TcpPool(Spec, frozen=True):
    """``connectionPool.tcp``."""

    max_connections: Count | None = None
    connect_timeout: str | None = None
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {"idleTimeout", "maxConnectionDuration", "tcpKeepalive"}
    )


class Pool(Spec, frozen=True):
    """``connectionPool``."""

    tcp: TcpPool = TcpPool()
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"http"})


class Outliers(Spec, frozen=True):
    """``outlierDetection``."""

    consecutive_5xx: Count | None = field(name="consecutive5xxErrors", default=None)
    consecutive_gateway_errors: Count | None = None
    consecutive_errors: Count | None = None
    interval: str | None = None
    base_ejection_time: str | None = None
    max_ejection_percent: PercentValue | None = None
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {
            "consecutiveLocalOriginFailures",
            "minHealthPercent",
            "splitExternalLocalOriginErrors",
        }
    )


class Tls(Spec, frozen=True):
    """``tls``: only the mode, since no other than DISABLE can be honoured."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {
            "caCertificates",
            "caCrl",
            "clientCertificate",
            "credentialName",
            "insecureSkipVerify",
            "privateKey",
            "sni",
            "subjectAltNames",
        }
    )


class Policy(Spec, frozen=True):
    """``trafficPolicy`` of a subset; of the host and of a port together with their own fields."""

    load_balancer: Balancing = Balancing()
    connection_pool: Pool = Pool()
    outlier_detection: Outliers | None = None
    tls: Tls = Tls()
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {"portLevelSettings", "proxyProtocol", "retryBudget", "tunnel"}
    )


class PortPolicy(Policy, frozen=True, kw_only=True):
    """One of ``portLevelSettings``."""

    port: PortSelector
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset()


class HostPolicy(Policy, frozen=True):
    """``spec.trafficPolicy``."""

    port_level_settings: tuple[PortPolicy, ...] = ()
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"proxyProtocol", "retryBudget", "tunnel"})


class WrittenSubset(Spec, frozen=True):
    """One of ``spec.subsets``."""

    name: str
    labels: dict[str, str] = field(default_factory=dict[str, str])
    traffic_policy: Policy | None = None


class RuleSpec(Spec, frozen=True):
    """``spec``."""

    host: str
    traffic_policy: HostPolicy = HostPolicy()
    subsets: tuple[WrittenSubset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: dict[str, object] | None = None


class RuleObject(Spec, frozen=True):
    """A DestinationRule."""

    spec: RuleSpec
    IGNORED: ClassVar[frozenset[str]] = HEAD


def destination_rule(written: RuleObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """One host's policy. What would apply to more clients or hosts than it says is left out."""
    spec = written.spec
    if "*" in spec.host:
        cause = f"{spec.host}: wildcard hosts are not supported, the object has no effect"
        notes.unsupported("spec.host", cause, "name the host")
        return
    if spec.workload_selector is not None:
        cause = "rules for selected workloads are not supported, the object has no effect"
        notes.unsupported("spec.workloadSelector", cause, "remove the selector")
        return
    whole = spec.traffic_policy
    yield DestinationPolicy(
        ref=notes.ref,
        host=host_of(spec.host, "spec.host", meta.namespace, notes),
        policy=_policy(whole, "spec.trafficPolicy", notes),
        port_policies={
            entry.port.number: _policy(entry, f"spec.trafficPolicy.portLevelSettings[{i}]", notes)
            for i, entry in enumerate(whole.port_level_settings)
        },
        subsets=tuple(_subsets(spec, notes)),
        created=meta.creation_timestamp,
        export_to=spec.export_to or ("*",),
    )


def _subsets(spec: RuleSpec, notes: Notes) -> Iterator[Subset]:
    names: set[str] = set()
    for i, subset in enumerate(spec.subsets):
        where = f"spec.subsets[{i}]"
        if not subset.name or "|" in subset.name:
            notes.wrong(f"{where}.name", f"{subset.name!r} is no name", "use letters and digits")
        if subset.name in names:
            cause = f"subset {subset.name} is listed twice"
            notes.wrong(f"{where}.name", cause, "give each subset a name of its own")
        names.add(subset.name)
        own = subset.traffic_policy
        yield Subset(
            name=subset.name,
            labels=subset.labels,
            ref=notes.ref.at(where),
            policy=None if own is None else _policy(own, f"{where}.trafficPolicy", notes),
        )


def _policy(written: Policy, where: str, notes: Notes) -> TrafficPolicy:
    simple = written.load_balancer.simple
    if simple == "PASSTHROUGH":
        notes.unsupported(f"{where}.loadBalancer.simple", "PASSTHROUGH is not supported")
    tcp = written.connection_pool.tcp
    return TrafficPolicy(
        load_balancer=_BALANCERS.get(simple),
        max_connections=tcp.max_connections,
        connect_timeout=seconds(
            tcp.connect_timeout,
            f"{where}.connectionPool.tcp.connectTimeout",
            notes,
            positive=True,
        ),
        outlier_detection=_outliers(written.outlier_detection, f"{where}.outlierDetection", notes),
        tls=written.tls.mode,
    )


def _outliers(written: Outliers | None, where: str, notes: Notes) -> OutlierDetection | None:
    if written is None:
        return None
    counts = (
        written.consecutive_5xx,
        written.consecutive_gateway_errors,
        written.consecutive_errors,
    )
    percent = written.max_ejection_percent
    return OutlierDetection(
        consecutive_errors=next((count for count in counts if count is not None), None),
        interval=seconds(written.interval, f"{where}.interval", notes, positive=True),
        base_ejection_time=seconds(
            written.base_ejection_time, f"{where}.baseEjectionTime", notes, positive=True
        ),
        max_ejection_percent=None if percent is None else int(percent),
    )
