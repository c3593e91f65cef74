"""Kubernetes' own kinds: Service, EndpointSlice, Pod, Node, Secret."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from sys import intern
from typing import TYPE_CHECKING, ClassVar

from msgspec import field

from meltemi.controller.decode.ports import WrittenPort, ports
from meltemi.controller.decode.schema import Spec
from meltemi.controller.decode.values import PortNumber
from meltemi.controller.store.hosts import canonical_ip, flaw, service_host
from meltemi.controller.store.objects import HostEndpoints, Node, Pod, Slice, SliceEndpoint
from meltemi.protocols.model import Discovery, Endpoint, Locality, Secret, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.store.objects import Value

NO_IP = "MEL0203"
WRONG = "MEL0102"

RESP = "meltemi.io/resp"
ALLOW_DUBBO_PROXY = "meltemi.io/allow-dubbo-proxy"
EXPORT_TO = "networking.istio.io/exportTo"
SERVICE_NAME = "kubernetes.io/service-name"
REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
SUB_ZONE = "topology.istio.io/subzone"

HEAD = frozenset({"apiVersion", "kind", "metadata", "status"})
"""What every object has at its top besides what it is about."""


class ServicePort(Spec, frozen=True):
    """One of ``spec.ports``."""

    port: PortNumber
    name: str = ""
    protocol: str = "TCP"
    app_protocol: str = ""
    IGNORED: ClassVar[frozenset[str]] = frozenset({"nodePort", "targetPort"})


class ServiceSpec(Spec, frozen=True):
    """``targetPort`` is not used: EndpointSlices have the endpoints' real ports; nor is
    ``publishNotReadyAddresses``: they say then that all are ready.
    """

    ports: tuple[ServicePort, ...] = ()
    cluster_ip: str = field(name="clusterIP", default="")
    cluster_ips: tuple[str, ...] = field(name="clusterIPs", default=())
    type: str = "ClusterIP"
    external_name: str = ""
    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {
            "allocateLoadBalancerNodePorts",
            "externalIPs",
            "externalTrafficPolicy",
            "healthCheckNodePort",
            "internalTrafficPolicy",
            "ipFamilies",
            "ipFamilyPolicy",
            "loadBalancerClass",
            "loadBalancerIP",
            "loadBalancerSourceRanges",
            "publishNotReadyAddresses",
            "selector",
            "sessionAffinity",
            "sessionAffinityConfig",
            "trafficDistribution",
        }
    )


class ServiceObject(Spec, frozen=True):
    """A Service."""

    spec: ServiceSpec
    IGNORED: ClassVar[frozenset[str]] = HEAD


class EndpointConditions(Spec, frozen=True):
    """An absent ``ready`` means ready."""

    ready: bool = True
    IGNORED: ClassVar[frozenset[str]] = frozenset({"serving", "terminating"})


class TargetRef(Spec, frozen=True):
    """The Pod behind an endpoint."""

    kind: str = ""
    name: str = ""
    namespace: str = ""
    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {"apiVersion", "fieldPath", "resourceVersion", "uid"}
    )


class SliceAddress(Spec, frozen=True):
    """One of ``endpoints``."""

    addresses: tuple[str, ...]
    conditions: EndpointConditions = EndpointConditions()
    target_ref: TargetRef | None = None
    node_name: str = ""
    zone: str = ""
    IGNORED: ClassVar[frozenset[str]] = frozenset({"deprecatedTopology", "hints", "hostname"})


class SlicePort(Spec, frozen=True):
    """One of ``ports``."""

    name: str = ""
    port: PortNumber | None = None
    IGNORED: ClassVar[frozenset[str]] = frozenset({"appProtocol", "protocol"})


class SliceObject(Spec, frozen=True):
    """An EndpointSlice."""

    endpoints: tuple[SliceAddress, ...] = ()
    ports: tuple[SlicePort, ...] = ()
    IGNORED: ClassVar[frozenset[str]] = HEAD | {"addressType"}


class PodAddress(Spec, frozen=True):
    """One of ``status.podIPs``."""

    ip: str


class PodCondition(Spec, frozen=True):
    """One of ``status.conditions``."""

    type: str = ""
    status: str = ""
    OPEN: ClassVar[bool] = True


class PodStatus(Spec, frozen=True):
    """Only the addresses, whether they are still the Pod's, and whether it is ready."""

    pod_ip: str = field(name="podIP", default="")
    pod_ips: tuple[PodAddress, ...] = field(name="podIPs", default=())
    phase: str = ""
    conditions: tuple[PodCondition, ...] = ()
    OPEN: ClassVar[bool] = True


class PodSpec(Spec, frozen=True):
    """Only where it runs."""

    node_name: str = ""
    OPEN: ClassVar[bool] = True


class PodObject(Spec, frozen=True):
    """A Pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()
    IGNORED: ClassVar[frozenset[str]] = HEAD


class NodeObject(Spec, frozen=True):
    """A Node: its labels say where it is."""

    IGNORED: ClassVar[frozenset[str]] = HEAD | {"spec"}


class SecretObject(Spec, frozen=True):
    """A Secret."""

    data: dict[str, str] = field(default_factory=dict[str, str])
    string_data: dict[str, str] = field(default_factory=dict[str, str])
    IGNORED: ClassVar[frozenset[str]] = HEAD | {"immutable", "type"}


def service(written: ServiceObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """A Service is a host; its ports are those whose protocol we serve. An ExternalName stands for
    another name, which proxies resolve.
    """
    spec = written.spec
    addresses = [a for a in spec.cluster_ips or (spec.cluster_ip,) if a not in {"", "None"}]
    listed = [
        WrittenPort(port.port, port.name, port.protocol, port.app_protocol, f"spec.ports[{i}]")
        for i, port in enumerate(spec.ports)
    ]
    host, served = service_host(meta.namespace, meta.name), ports(listed, notes)
    external = spec.type == "ExternalName"
    yield Service(
        ref=notes.ref,
        host=host,
        namespace=meta.namespace,
        ports=served,
        addresses=tuple(ip_addresses(addresses, "spec.clusterIP", notes)),
        export_to=_exported(meta.annotations.get(EXPORT_TO, "")),
        resp=resp(meta, notes),
        allows=allows(meta, notes),
        discovery=Discovery.DNS if external else Discovery.STATIC,
    )
    if external:
        target = Endpoint(_external(spec, notes), {port.number: port.number for port in served})
        yield HostEndpoints(meta.namespace, host, (target,))


def endpoint_slice(written: SliceObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """An EndpointSlice, still to be joined with its Service and Pods."""
    if not (owner := meta.labels.get(SERVICE_NAME, "")):
        notes.missing(f"metadata.labels[{SERVICE_NAME}]", f"add the label {SERVICE_NAME}")
        return
    yield Slice(
        namespace=meta.namespace,
        service=owner,
        ports={port.name: port.port for port in written.ports if port.port is not None},
        endpoints=tuple(_slice_endpoints(written, meta, notes)),
    )


def pod(written: PodObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """A Pod gives its labels to endpoints. One that has ended may have lost its address."""
    status = written.status
    ended = status.phase in {"Succeeded", "Failed"}
    found = [] if ended else [status.pod_ip, *(entry.ip for entry in status.pod_ips)]
    addresses = {canonical_ip(address) or address for address in found if address}
    ready = not any(c.type == "Ready" and c.status != "True" for c in status.conditions)
    yield Pod(
        namespace=meta.namespace,
        name=meta.name,
        addresses=tuple(sorted(addresses)),
        labels=meta.labels,
        ready=ready,
        node=intern(written.spec.node_name),
    )


def node(_: NodeObject, meta: Metadata, __: Notes) -> Iterator[Value]:
    """A Node gives endpoints their locality; all else that its heartbeats change is left out."""
    yield Node(
        meta.name, Locality(*(meta.labels.get(each, "") for each in (REGION, ZONE, SUB_ZONE)))
    )


def secret(written: SecretObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """A Secret's text values, trimmed as Aeraki trims them: files end in a line break."""
    values: dict[str, str] = {}
    for key, text in written.data.items():
        try:
            values[key] = b64decode(text, validate=True).decode().strip()
        except (Base64Error, ValueError) as error:
            if isinstance(error, UnicodeDecodeError):
                continue  # not text, so not a password
            notes.wrong(f"data[{key}]", f"{key} is not base64", "encode it, or use stringData")
    values |= {key: text.strip() for key, text in written.string_data.items()}
    yield Secret(notes.ref, values)


def ip_addresses(written: list[str], where: str, notes: Notes) -> Iterator[str]:
    """Those that are IP addresses; each other one is a problem."""
    for address in written:
        if (found := canonical_ip(address)) is not None:
            yield found
        else:
            notes.add(
                NO_IP, where, f"{address!r} is no IP address", "write an IPv4 or IPv6 address"
            )


def resp(meta: Metadata, notes: Notes) -> int:
    """The annotation that says which Redis protocol version clients speak."""
    written = meta.annotations.get(RESP, "2")
    if written in {"2", "3"}:
        return int(written)
    where = f"metadata.annotations[{RESP}]"
    notes.add(WRONG, where, f"{RESP} is {written!r}: RESP2 is served", "write '2' or '3'")
    return 2


def allows(meta: Metadata, notes: Notes) -> frozenset[str]:
    """The annotation that says that an engine which is not recommended may serve the service."""
    written = meta.annotations.get(ALLOW_DUBBO_PROXY, "false")
    if written not in {"true", "false"}:
        where = f"metadata.annotations[{ALLOW_DUBBO_PROXY}]"
        cause = f"{ALLOW_DUBBO_PROXY} is {written!r}: dubbo_proxy is not allowed"
        notes.add(WRONG, where, cause, "write 'true' or 'false'")
    return frozenset({"dubbo_proxy"}) if written == "true" else frozenset()


def _external(spec: ServiceSpec, notes: Notes) -> str:
    """What an ExternalName stands for."""
    name = spec.external_name
    if (address := canonical_ip(name)) is not None:
        return address
    if (cause := flaw(name)) is not None:
        notes.wrong("spec.externalName", f"{name!r}: {cause}", "write a DNS name")
    return name.lower()


def _exported(written: str) -> tuple[str, ...]:
    namespaces = tuple(entry for part in written.split(",") if (entry := part.strip()))
    return namespaces or ("*",)


def _slice_endpoints(written: SliceObject, meta: Metadata, notes: Notes) -> Iterator[SliceEndpoint]:
    for i, endpoint in enumerate(written.endpoints):
        target = endpoint.target_ref
        owner = None
        if target is not None and target.kind == "Pod":
            owner = (target.namespace or meta.namespace, target.name)
        where = f"endpoints[{i}].addresses"
        for address in ip_addresses(list(endpoint.addresses), where, notes):
            yield SliceEndpoint(
                address=address,
                ready=endpoint.conditions.ready,
                pod=owner,
                node=intern(endpoint.node_name),  # few, of very many endpoints
                zone=intern(endpoint.zone),
            )
