"""Istio's ServiceEntry: hosts with endpoints of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import field

from meltemi.controller.decode.kubernetes import HEAD, ip_addresses, resp
from meltemi.controller.decode.ports import WrittenPort, ports
from meltemi.controller.decode.schema import Spec
from meltemi.controller.decode.values import Count, PortNumber
from meltemi.controller.hosts import canonical_ip, flaw
from meltemi.controller.objects import HostEndpoints
from meltemi.protocols.model import Endpoint, Locality, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.objects import Value
    from meltemi.protocols.model import Port

NO_IP = "MEL0203"
STATIC = "STATIC"


class EntryPort(Spec, frozen=True):
    """One of ``spec.ports``."""

    number: PortNumber
    name: str = ""
    protocol: str = "TCP"
    target_port: PortNumber | None = None


class EntryEndpoint(Spec, frozen=True):
    """One of ``spec.endpoints``. ``ports`` maps port names to this endpoint's numbers."""

    address: str = ""
    ports: dict[str, PortNumber] = field(default_factory=dict[str, PortNumber])
    labels: dict[str, str] = field(default_factory=dict[str, str])
    locality: str = ""
    weight: Count = 0
    IGNORED: ClassVar[frozenset[str]] = frozenset({"network", "serviceAccount"})


class EntrySpec(Spec, frozen=True):
    """``spec``."""

    hosts: tuple[str, ...]
    ports: tuple[EntryPort, ...] = ()
    addresses: tuple[str, ...] = ()
    resolution: str = "NONE"
    endpoints: tuple[EntryEndpoint, ...] = ()
    export_to: tuple[str, ...] = ()
    IGNORED: ClassVar[frozenset[str]] = frozenset({"location"})
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"subjectAltNames", "workloadSelector"})


class EntryObject(Spec, frozen=True):
    """A ServiceEntry."""

    spec: EntrySpec
    IGNORED: ClassVar[frozenset[str]] = HEAD


def service_entry(written: EntryObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """Each host is a service; all have the same ports, addresses and endpoints."""
    spec = written.spec
    if not spec.hosts:
        notes.missing("spec.hosts", "add the host that clients call")
    served = ports([_written(i, port) for i, port in enumerate(spec.ports)], notes)
    addresses = tuple(ip_addresses(list(spec.addresses), "spec.addresses", notes))
    endpoints = tuple(_endpoints(spec, served, notes))
    version = resp(meta, notes)
    for host in _hosts(spec, notes):
        yield Service(
            ref=notes.ref,
            host=host,
            namespace=meta.namespace,
            ports=served,
            addresses=addresses,
            export_to=spec.export_to or ("*",),
            resp=version,
        )
        yield HostEndpoints(meta.namespace, host, endpoints)


def _written(index: int, port: EntryPort) -> WrittenPort:
    return WrittenPort(port.number, port.name, port.protocol, port.protocol, f"spec.ports[{index}]")


def _hosts(spec: EntrySpec, notes: Notes) -> tuple[str, ...]:
    """As written, in lower case: a ServiceEntry's host is never expanded."""
    hosts: dict[str, None] = {}
    for i, host in enumerate(spec.hosts):
        where = f"spec.hosts[{i}]"
        if "*" in host:
            notes.unsupported(where, f"{host}: wildcard hosts are not supported", "name the host")
        elif (cause := flaw(host)) is not None:
            notes.wrong(where, f"{host!r}: {cause}", "write a DNS name")
        else:
            hosts[host.lower()] = None
    return tuple(hosts)


def _endpoints(spec: EntrySpec, served: tuple[Port, ...], notes: Notes) -> Iterator[Endpoint]:
    if spec.resolution != STATIC:
        notes.unsupported(
            "spec.resolution",
            f"resolution {spec.resolution} is not supported: the hosts have no endpoints",
            "write resolution: STATIC and list endpoints with IP addresses",
        )
        return
    targets = {port.number: port.target_port or port.number for port in spec.ports}
    for i, endpoint in enumerate(spec.endpoints):
        if (address := canonical_ip(endpoint.address)) is None:
            where = f"spec.endpoints[{i}].address"
            cause = f"{endpoint.address!r} is no IP address: the endpoint is left out"
            notes.add(NO_IP, where, cause, "write an IPv4 or IPv6 address")
            continue
        yield Endpoint(
            address=address,
            ports={p.number: endpoint.ports.get(p.name) or targets[p.number] for p in served},
            labels=endpoint.labels,
            locality=_locality(endpoint.locality),
            weight=endpoint.weight or 1,
        )


def _locality(written: str) -> Locality:
    region, zone, sub_zone = (*written.split("/", 2), "", "")[:3]
    return Locality(region, zone, sub_zone)
