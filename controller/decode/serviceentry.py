"""Istio's ServiceEntry: hosts with endpoints of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from msgspec import field

from meltemi.controller.decode.kubernetes import HEAD, allows, ip_addresses, resp
from meltemi.controller.decode.ports import WrittenPort, ports
from meltemi.controller.decode.schema import Spec
from meltemi.controller.decode.values import PortNumber, locality_of
from meltemi.controller.decode.workloadentry import WorkloadSpec
from meltemi.controller.store.hosts import canonical_ip, flaw
from meltemi.controller.store.objects import HostEndpoints, HostSelector, SelectedPort
from meltemi.protocols.model import Discovery, Endpoint, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.store.objects import Value
    from meltemi.protocols.model import Port

NO_IP = "MEL0203"

DISCOVERIES = {discovery.value: discovery for discovery in Discovery}


class EntryPort(Spec, frozen=True):
    """One of ``spec.ports``."""

    number: PortNumber
    name: str = ""
    protocol: str = "TCP"
    target_port: PortNumber | None = None


class Selector(Spec, frozen=True):
    """``spec.workloadSelector``."""

    labels: dict[str, str] = field(default_factory=dict[str, str])


class EntrySpec(Spec, frozen=True):
    """``spec``."""

    hosts: tuple[str, ...]
    ports: tuple[EntryPort, ...] = ()
    addresses: tuple[str, ...] = ()
    resolution: str = "NONE"
    endpoints: tuple[WorkloadSpec, ...] = ()
    workload_selector: Selector | None = None
    export_to: tuple[str, ...] = ()
    IGNORED: ClassVar[frozenset[str]] = frozenset({"location"})
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset({"subjectAltNames"})


class EntryObject(Spec, frozen=True):
    """A ServiceEntry."""

    spec: EntrySpec
    IGNORED: ClassVar[frozenset[str]] = HEAD


def service_entry(written: EntryObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """Each host is a service; all have the same ports, addresses and endpoints, but for those that
    are to be resolved by their own name.
    """
    spec = written.spec
    discovery = _discovery(spec, notes)
    if not spec.hosts:
        notes.missing("spec.hosts", "add the host that clients call")
    served = ports([_written(i, port) for i, port in enumerate(spec.ports)], notes)
    addresses = tuple(ip_addresses(list(spec.addresses), "spec.addresses", notes))
    endpoints = tuple(_endpoints(spec, served, notes)) if discovery else ()
    _refuse_contradictions(spec, discovery, notes)
    version, allowed = resp(meta, notes), allows(meta, notes)
    for host in _hosts(spec, notes):
        yield Service(
            ref=notes.ref,
            host=host,
            namespace=meta.namespace,
            ports=served,
            addresses=addresses,
            export_to=spec.export_to or ("*",),
            resp=version,
            allows=allowed,
            discovery=discovery or Discovery.STATIC,
        )
        yield _members(spec, discovery, HostEndpoints(meta.namespace, host, endpoints))


def _members(
    spec: EntrySpec, discovery: Discovery | None, listed: HostEndpoints
) -> HostEndpoints | HostSelector:
    """Who answers for a host: those that the entry lists or selects, else whoever has its name."""
    targets, selector = tuple(_targets(spec)), spec.workload_selector
    named = discovery not in {None, Discovery.STATIC}
    if selector is not None and selector.labels and discovery is not None:
        return HostSelector(listed.namespace, listed.host, selector.labels, targets, names=named)
    if named and selector is None and not spec.endpoints:
        itself = Endpoint(listed.host, {port.number: port.target for port in targets})
        return replace(listed, endpoints=(itself,))
    return listed


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


def _discovery(spec: EntrySpec, notes: Notes) -> Discovery | None:
    """How addresses are found; None where that is not supported."""
    found = DISCOVERIES.get(spec.resolution)
    if found is None:
        notes.unsupported(
            "spec.resolution",
            f"resolution {spec.resolution} is not supported: the hosts have no endpoints",
            f"write one of: {', '.join(DISCOVERIES)}",
        )
    return found


def _refuse_contradictions(spec: EntrySpec, discovery: Discovery | None, notes: Notes) -> None:
    if discovery is Discovery.DNS_ROUND_ROBIN and len(spec.endpoints) > 1:
        cause = f"{discovery.value} takes one endpoint, and there are {len(spec.endpoints)}"
        notes.wrong("spec.endpoints", cause, "keep one, or write resolution: DNS")
    if (selector := spec.workload_selector) is None:
        return
    if not selector.labels:
        notes.missing("spec.workloadSelector.labels", "write the labels of the workloads")
    if spec.endpoints:
        cause = "endpoints and workloadSelector exclude each other"
        notes.wrong("spec.workloadSelector", cause, "write one of them")


def _targets(spec: EntrySpec) -> Iterator[SelectedPort]:
    """What endpoints listen on, unless they say otherwise."""
    for port in spec.ports:
        yield SelectedPort(port.number, port.name, port.target_port or port.number)


def _endpoints(spec: EntrySpec, served: tuple[Port, ...], notes: Notes) -> Iterator[Endpoint]:
    targets = {port.number: port.target for port in _targets(spec)}
    names = spec.resolution != Discovery.STATIC.value
    for i, endpoint in enumerate(spec.endpoints):
        address = canonical_ip(endpoint.address)
        if address is None and names and flaw(endpoint.address) is None:
            address = endpoint.address.lower()
        if address is None:
            where = f"spec.endpoints[{i}].address"
            wanted = "IP address and no DNS name" if names else "IP address"
            cause = f"{endpoint.address!r} is no {wanted}: the endpoint is left out"
            next_step = "write one" if names else "write one, or resolution: DNS"
            notes.add(NO_IP, where, cause, next_step)
            continue
        yield Endpoint(
            address=address,
            ports={p.number: endpoint.ports.get(p.name) or targets[p.number] for p in served},
            labels=endpoint.labels,
            locality=locality_of(endpoint.locality),
            weight=endpoint.weight or 1,
        )
