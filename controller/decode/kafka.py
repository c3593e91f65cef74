"""Our own KafkaCluster: brokers behind a proxy, each of them reachable by itself.

It stands for ordinary services: ``host``, from which clients learn of the brokers, and
``broker-<id>.<host>`` for each of them. A broker that moves changes endpoints and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta

from meltemi.controller.decode.kafka_keys import API_KEYS, MAX_API_KEY
from meltemi.controller.decode.kubernetes import HEAD, NO_IP, WRONG
from meltemi.controller.decode.schema import Spec
from meltemi.controller.decode.values import PortNumber, host_of
from meltemi.controller.store.hosts import canonical_ip, flaw
from meltemi.controller.store.objects import HostEndpoints, HostPods
from meltemi.protocols.model import Endpoint, Kafka, KafkaBroker, Port, Ref, Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.store.objects import Value

PROTOCOL, PORT_NAME = "kafka", "tcp-kafka"
DEFAULT_PORT = 9092
MOST_BROKERS = 1000
_HIGHEST_PORT = 65535

BrokerId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
PortBase = Annotated[int, Meta(ge=0, le=_HIGHEST_PORT)]


class Address(Spec, frozen=True):
    """A broker, or what it advertises."""

    id: BrokerId
    host: str
    port: PortNumber = DEFAULT_PORT


class Advertised(Spec, frozen=True):
    """What all brokers advertise: one host, and the port by the broker's id."""

    host: str
    port_base: PortBase


class StatefulSet(Spec, frozen=True):
    """Broker n is the Pod ``<name>-n``; ``port`` is where each listens for clients."""

    name: str
    replicas: Annotated[int, Meta(ge=1, le=MOST_BROKERS)]
    port: PortNumber = DEFAULT_PORT


class ServerNames(Spec, frozen=True):
    """One port for everything: clients speak TLS with the brokers and name the one they want."""

    port: PortNumber
    domain: str


class Listeners(Spec, frozen=True):
    """A port per broker, or one for all."""

    bootstrap: PortNumber | None = None
    port_base: PortBase | None = None
    sni: ServerNames | None = None


class ApiKeys(Spec, frozen=True):
    """Kinds of requests by name or number."""

    allow: tuple[int | str, ...] | None = None
    deny: tuple[int | str, ...] | None = None


class ClusterSpec(Spec, frozen=True):
    """``spec``."""

    host: str
    listeners: Listeners
    brokers: Annotated[tuple[Address, ...], Meta(max_length=MOST_BROKERS)] = ()
    stateful_set: StatefulSet | None = None
    advertised: tuple[Address, ...] | Advertised | None = None
    api_keys: ApiKeys = ApiKeys()


class KafkaObject(Spec, frozen=True):
    """A KafkaCluster."""

    spec: ClusterSpec
    IGNORED: ClassVar[frozenset[str]] = HEAD


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which port of the proxy is for what. ``domain`` where there is one port for all."""

    bootstrap: int
    base: int
    domain: str

    def port(self, broker: int) -> int:
        return self.bootstrap if self.domain else self.base + broker


def kafka_cluster(written: KafkaObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """The service of the whole cluster and one for each broker, with their endpoints."""
    spec = written.spec
    host = host_of(spec.host, "spec.host", meta.namespace, notes)
    ids = _ids(spec, notes)
    layout = _layout(spec.listeners, ids, notes)
    allowed = _numbers(spec.api_keys.allow, "spec.apiKeys.allow", notes)
    denied = _numbers(spec.api_keys.deny, "spec.apiKeys.deny", notes)
    if layout is None or notes.rejected:
        return
    advertised = _advertised(spec, ids, notes)
    own = {(_canonical(broker.host), broker.port): broker.id for broker in spec.brokers}
    brokers = tuple(
        KafkaBroker(
            id=number,
            host=broker_host(number, host),
            port=layout.port(number),
            entrance=host if layout.domain else broker_host(number, host),
            ref=place,
            advertised=address,
            bypasses=address is not None and own.get(address) == number,
        )
        for number, (place, address) in advertised.items()
    )
    kafka = Kafka(notes.ref, host, brokers, layout.domain, allowed, denied)
    places = list(_places(spec, notes))
    tls = bool(layout.domain)
    front = Port(layout.bootstrap, PORT_NAME, PROTOCOL, notes.ref, tls=tls)
    yield _service(kafka, host, front, meta.namespace)
    yield from _endpoints(places, meta.namespace, host, front.number)
    for broker, place in zip(brokers, places, strict=True):
        port = replace(front, number=broker.port, listens=not tls)
        yield _service(kafka, broker.host, port, meta.namespace)
        yield from _endpoints([place], meta.namespace, broker.host, port.number)


def broker_host(broker: int, host: str) -> str:
    """The host of a broker's own service."""
    return f"broker-{broker}.{host}"


def _ids(spec: ClusterSpec, notes: Notes) -> list[int]:
    """The brokers' numbers, in order of writing."""
    if spec.stateful_set is not None:
        if spec.brokers:
            cause = "brokers and statefulSet are both written"
            notes.wrong("spec.brokers", cause, "write one of the two")
        return list(range(spec.stateful_set.replicas))
    if not spec.brokers:
        notes.missing("spec.brokers", "list the brokers, or name their statefulSet")
    found: dict[int, None] = {}
    for i, broker in enumerate(spec.brokers):
        if broker.id in found:
            cause = f"there are two brokers {broker.id}"
            notes.wrong(f"spec.brokers[{i}].id", cause, "give each the node.id that it has")
        found[broker.id] = None
    return list(found)


def _layout(listeners: Listeners, ids: Sequence[int], notes: Notes) -> _Layout | None:
    where, sni = "spec.listeners", listeners.sni
    if (sni is None) == (listeners.port_base is None):
        cause = "clients need either a port for each broker or one port for all"
        notes.wrong(where, cause, "write exactly one of portBase and sni")
        return None
    if sni is not None:
        return _one_port(sni, listeners.bootstrap, max(ids, default=0), notes)
    base, bootstrap = listeners.port_base or 0, listeners.bootstrap or DEFAULT_PORT
    for broker in ids:
        port = base + broker
        if not 1 <= port <= _HIGHEST_PORT:
            cause = f"the listener of broker {broker} would have the port {port}"
            notes.wrong(f"{where}.portBase", cause, f"keep it between 1 and {_HIGHEST_PORT}")
        elif port == bootstrap:
            cause = f"the listener of broker {broker} would have the port of bootstrap, {port}"
            notes.wrong(f"{where}.portBase", cause, "choose another base")
    return _Layout(bootstrap, base, "")


def _one_port(
    sni: ServerNames, bootstrap: int | None, highest: int, notes: Notes
) -> _Layout | None:
    where = "spec.listeners.sni"
    if bootstrap is not None:
        cause = "with sni everything has one port"
        notes.wrong("spec.listeners.bootstrap", cause, "remove it; sni.port is the port")
    domain = sni.domain.rstrip(".").lower()
    if not domain:
        notes.missing(f"{where}.domain", "write the domain whose names clients ask for")
        return None
    if (flawed := flaw(f"broker-{highest}.{domain}")) is not None:
        cause = f"brokers would be called broker-{highest}.{domain}: {flawed}"
        notes.wrong(f"{where}.domain", cause, "write a DNS name")
        return None
    return _Layout(sni.port, 0, domain)


def _advertised(
    spec: ClusterSpec, ids: Sequence[int], notes: Notes
) -> dict[int, tuple[Ref, tuple[str, int] | None]]:
    """For each broker the place that is about it, and what it says."""
    where = "spec.advertised"
    found: dict[int, tuple[Ref, tuple[str, int] | None]] = dict.fromkeys(
        ids, (notes.ref.at(where), None)
    )
    match spec.advertised:
        case Advertised(host=host, port_base=base):
            for broker in ids:
                if 1 <= (port := base + broker) <= _HIGHEST_PORT:
                    found[broker] = notes.ref.at(where), (_canonical(host), port)
        case tuple() as listed:
            for i, entry in enumerate(listed):
                place = f"{where}[{i}]"
                if entry.id in found:
                    found[entry.id] = notes.ref.at(place), (_canonical(entry.host), entry.port)
                else:
                    notes.add(WRONG, place, f"there is no broker {entry.id}", "correct the id")
        case None:
            pass
    return found


def _canonical(host: str) -> str:
    return canonical_ip(host) or host


def _numbers(written: tuple[int | str, ...] | None, where: str, notes: Notes) -> tuple[int, ...]:
    """API keys by number. One that nobody knows rejects the object: half of a list that says who
    may do what would be another list.
    """
    if written is None:
        return ()
    if not written:
        notes.wrong(where, "an empty list says nothing", "name API keys, or remove it")
    found: set[int] = set()
    for i, key in enumerate(written):
        number = API_KEYS.get(key) if isinstance(key, str) else key
        if number is None:
            close = get_close_matches(str(key), API_KEYS, 1)
            next_step = f"did you mean {close[0]}?" if close else "write its number"
            notes.wrong(f"{where}[{i}]", f"{key!r} is no name of an API key", next_step)
        elif not 0 <= number <= MAX_API_KEY:
            cause = f"{number} is no API key"
            notes.wrong(f"{where}[{i}]", cause, f"write a number up to {MAX_API_KEY}")
        else:
            found.add(number)
    return tuple(sorted(found))


def _service(kafka: Kafka, host: str, port: Port, namespace: str) -> Service:
    return Service(
        ref=kafka.ref,
        host=host,
        namespace=namespace,
        ports=(port,),
        kafka=kafka,
        part_of="" if host == kafka.host else kafka.host,
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one broker is: at an address, or at that of a Pod. Neither if it has none."""

    port: int
    address: str = ""
    pod: str = ""


def _places(spec: ClusterSpec, notes: Notes) -> Iterator[_Place]:
    """In the order of ``_ids``."""
    if (pods := spec.stateful_set) is not None:
        for number in range(pods.replicas):
            yield _Place(pods.port, pod=f"{pods.name}-{number}")
        return
    for i, broker in enumerate(spec.brokers):
        if (address := canonical_ip(broker.host)) is None:
            where = f"spec.brokers[{i}].host"
            cause = f"{broker.host!r} is no IP address: broker {broker.id} has no endpoint"
            notes.add(NO_IP, where, cause, "write an IPv4 or IPv6 address, or use statefulSet")
        yield _Place(broker.port, address=address or "")


def _endpoints(
    places: Sequence[_Place], namespace: str, host: str, port: int
) -> Iterator[HostEndpoints | HostPods]:
    if pods := tuple(place.pod for place in places if place.pod):
        yield HostPods(namespace, host, pods, {port: places[0].port})
        return
    addresses = tuple(
        Endpoint(place.address, {port: place.port}) for place in places if place.address
    )
    yield HostEndpoints(namespace, host, addresses)
