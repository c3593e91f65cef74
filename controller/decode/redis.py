"""Aeraki's RedisService and RedisDestination: how Redis hosts are served, and how reached."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import UNSET, Meta

from meltemi.controller.decode.credentials import credentials
from meltemi.controller.decode.kubernetes import HEAD
from meltemi.controller.decode.notes import UNREADABLE_AUTH
from meltemi.controller.decode.schema import Spec, as_list, as_mapping
from meltemi.controller.decode.values import (
    Count,
    Percent,
    host_of,
    hosts_of,
    seconds,
)
from meltemi.controller.store.hosts import canonical_ip, expand, flaw
from meltemi.protocols.model import (
    Destination,
    Matcher,
    MatchKind,
    Mirror,
    RedisFault,
    RedisSettings,
    RedisUpstream,
    Route,
    Rule,
    TrafficPolicy,
    UnreadableCredentials,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.store.objects import Value

UNREACHABLE = "MEL0310"
KEY, AUTH, SETTINGS = "key", "auth", "settings"

REDIS_PORT = 6379
_ENDPOINT = re.compile(r"(\[(?P<v6>[^\]]*)\]|(?P<host>[^:]+))(:(?P<port>\d{1,5}))?")


class KeyMatch(Spec, frozen=True):
    """The beginning of a command's keys."""

    prefix: str = ""
    remove_prefix: bool = False
    STRICT: ClassVar[bool] = True


class RedisMatch(Spec, frozen=True):
    """``match``; nothing in it means every key."""

    key: KeyMatch = KeyMatch()
    STRICT: ClassVar[bool] = True


class RedisTarget(Spec, frozen=True):
    """A host; port 0 is the one that the route serves."""

    host: str
    port: Annotated[int, Meta(ge=0, le=65535)] = 0


class RedisMirror(Spec, frozen=True):
    """One of ``mirror``."""

    route: RedisTarget
    percentage: Percent
    exclude_read_commands: bool = False


class RedisRoute(Spec, frozen=True):
    """One of ``spec.redis``."""

    route: RedisTarget
    match: RedisMatch = RedisMatch()
    mirror: tuple[RedisMirror, ...] = ()
    STRICT: ClassVar[bool] = True


class Fault(Spec, frozen=True):
    """One of ``spec.faults``."""

    percentage: Percent
    type: Literal["DELAY", "ERROR"] = "DELAY"
    delay: str | None = None
    commands: tuple[str, ...] = ()


class Settings(Spec, frozen=True):
    """``spec.settings``."""

    auth: object = UNSET
    op_timeout: str | None = None
    buffer_flush_timeout: str | None = None
    max_buffer_size_before_flush: Count = 0
    max_upstream_unknown_connections: Count | None = None
    case_insensitive: bool = False
    enable_command_stats: bool = False
    enable_hashtagging: bool = False
    enable_redirection: bool = False
    read_policy: Literal["MASTER", "PREFER_MASTER", "REPLICA", "PREFER_REPLICA", "ANY"] = "MASTER"
    GUARDED: ClassVar[frozenset[str]] = frozenset({AUTH, SETTINGS})


class ServiceSpec(Spec, frozen=True):
    """``spec`` of a RedisService."""

    host: tuple[str, ...]
    settings: Settings = Settings()
    redis: tuple[RedisRoute, ...] = ()
    faults: tuple[Fault, ...] = ()
    GUARDED: ClassVar[frozenset[str]] = frozenset({AUTH, SETTINGS})


class RedisServiceObject(Spec, frozen=True):
    """A RedisService."""

    spec: ServiceSpec
    IGNORED: ClassVar[frozenset[str]] = HEAD


class TcpPool(Spec, frozen=True):
    """``connectionPool.tcp``."""

    max_connections: Count | None = None
    connect_timeout: str | None = None
    UNSUPPORTED: ClassVar[frozenset[str]] = frozenset(
        {"idleTimeout", "maxConnectionDuration", "tcpKeepalive"}
    )


class RedisPool(Spec, frozen=True):
    """``connectionPool.redis``."""

    mode: Literal["PROXY", "CLUSTER"] = "PROXY"
    auth: object = UNSET
    discovery_endpoints: tuple[str, ...] = ()
    GUARDED: ClassVar[frozenset[str]] = frozenset({AUTH})


class Pool(Spec, frozen=True):
    """``connectionPool``."""

    tcp: TcpPool = TcpPool()
    redis: RedisPool = RedisPool()


class UpstreamPolicy(Spec, frozen=True):
    """``trafficPolicy``."""

    connection_pool: Pool = Pool()


class DestinationSpec(Spec, frozen=True):
    """``spec`` of a RedisDestination."""

    host: str
    traffic_policy: UpstreamPolicy = UpstreamPolicy()


class RedisDestinationObject(Spec, frozen=True):
    """A RedisDestination."""

    spec: DestinationSpec
    IGNORED: ClassVar[frozenset[str]] = HEAD


def redis_service(written: RedisServiceObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """Settings of its hosts, and routes if it has some."""
    spec, settings = written.spec, written.spec.settings
    hosts = hosts_of(spec.host, "spec.host", meta.namespace, notes)
    if not spec.host:
        notes.missing("spec.host", "add the host that clients call")
    timeout = seconds(settings.op_timeout, "spec.settings.opTimeout", notes, positive=True)
    yield RedisSettings(
        ref=notes.ref,
        hosts=hosts,
        auth=credentials(settings.auth, "spec.settings.auth", notes),
        op_timeout=60.0 if timeout is None else timeout,
        buffer_flush_timeout=seconds(
            settings.buffer_flush_timeout, "spec.settings.bufferFlushTimeout", notes
        ),
        max_buffer_size_before_flush=settings.max_buffer_size_before_flush,
        max_upstream_unknown_connections=settings.max_upstream_unknown_connections,
        case_insensitive=settings.case_insensitive,
        enable_command_stats=settings.enable_command_stats,
        enable_hashtagging=settings.enable_hashtagging,
        enable_redirection=settings.enable_redirection,
        read_policy=settings.read_policy,
        faults=tuple(_faults(spec.faults, notes)),
        created=meta.creation_timestamp,
    )
    if spec.redis:
        yield Rule(
            ref=notes.ref,
            hosts=hosts,
            routes=tuple(_routes(spec, notes)),
            created=meta.creation_timestamp,
        )


def locked_service(body: Mapping[str, object], notes: Notes) -> tuple[Value, ...]:
    """What an object that cannot be read means all the same: if it asks for a password, whatever
    the form, nobody passes at its hosts.
    """
    spec = as_mapping(body.get("spec")) or {}
    if not (field := _asks_for_password(spec, notes)):
        return ()
    written = spec.get("host")
    hosts = [host for host in as_list(written) or [written] if isinstance(host, str)]
    sound = dict.fromkeys(expand(h, notes.ref.namespace) for h in hosts if flaw(h) is None)
    unreadable = UnreadableCredentials(notes.ref.at(field))
    return (RedisSettings(notes.ref, tuple(sound), unreadable),) if sound else ()


def _asks_for_password(spec: Mapping[str, object], notes: Notes) -> str:
    """The field that does, if any."""
    if (noted := next((p for p in notes.problems if p.code == UNREADABLE_AUTH), None)) is not None:
        return noted.about.field
    if (settings := as_mapping(spec.get(SETTINGS))) is not None:
        return f"spec.{SETTINGS}.{AUTH}" if AUTH in settings else ""
    return "" if spec.get(SETTINGS) is None else f"spec.{SETTINGS}"


def redis_destination(
    written: RedisDestinationObject, meta: Metadata, notes: Notes
) -> Iterator[Value]:
    """How a Redis host is reached."""
    spec, where = written.spec, "spec.trafficPolicy.connectionPool"
    pool = spec.traffic_policy.connection_pool
    yield RedisUpstream(
        ref=notes.ref,
        host=host_of(spec.host, "spec.host", meta.namespace, notes),
        auth=credentials(pool.redis.auth, f"{where}.redis.auth", notes),
        policy=TrafficPolicy(
            max_connections=pool.tcp.max_connections,
            connect_timeout=seconds(
                pool.tcp.connect_timeout, f"{where}.tcp.connectTimeout", notes, positive=True
            ),
        ),
        created=meta.creation_timestamp,
        cluster=pool.redis.mode == "CLUSTER",
        seeds=tuple(_seeds(pool.redis, f"{where}.redis.discoveryEndpoints", notes)),
    )


def _seeds(pool: RedisPool, where: str, notes: Notes) -> Iterator[tuple[str, int]]:
    """``host``, ``host:port`` or ``[address]:port``: where a Redis Cluster tells of its nodes."""
    if pool.discovery_endpoints and pool.mode != "CLUSTER":
        notes.unsupported(where, "discoveryEndpoints mean something in mode CLUSTER alone")
        return
    for i, text in enumerate(pool.discovery_endpoints):
        written = _ENDPOINT.fullmatch(text)
        host = (written["v6"] or written["host"]) if written else ""
        port = int(written["port"] or REDIS_PORT) if written else 0
        address = canonical_ip(host)
        if (address is None and flaw(host) is not None) or not 0 < port < 65536:
            notes.wrong(f"{where}[{i}]", f"{text!r} is no endpoint", "write host:port")
        else:
            yield address or host.lower(), port


def _routes(spec: ServiceSpec, notes: Notes) -> list[Route]:
    """The longest prefix first, because that is the one that Envoy takes; of two equal ones the
    first is served, because Envoy refuses both.
    """
    first: dict[str, str] = {}
    for i, written in enumerate(spec.redis):
        where, prefix = f"spec.redis[{i}]", written.match.key.prefix
        if notes.flaw(where):
            continue  # it takes nothing from others
        taken = first.setdefault(
            prefix.lower() if spec.settings.case_insensitive else prefix, where
        )
        if taken != where:
            cause = f"{taken} has the same prefix: this route is left out"
            notes.add(UNREACHABLE, where, cause, "merge the two", unserved=True)
    in_order = sorted(enumerate(spec.redis), key=lambda entry: -len(entry[1].match.key.prefix))
    return [_route(written, f"spec.redis[{i}]", notes) for i, written in in_order]


def _route(written: RedisRoute, where: str, notes: Notes) -> Route:
    key = written.match.key
    matcher = {KEY: Matcher(MatchKind.PREFIX, key.prefix)} if key.prefix else {}
    return Route(
        ref=notes.ref.at(where),
        match=matcher,
        destinations=(_target(written.route, f"{where}.route", notes),),
        mirrors=tuple(
            Mirror(
                _target(mirror.route, f"{where}.mirror[{i}].route", notes),
                mirror.percentage.value,
                mirror.exclude_read_commands,
            )
            for i, mirror in enumerate(written.mirror)
        ),
        remove_prefix=key.remove_prefix and bool(key.prefix),
        flaw=notes.flaw(where),
    )


def _target(written: RedisTarget, where: str, notes: Notes) -> Destination:
    host = host_of(written.host, f"{where}.host", notes.ref.namespace, notes)
    return Destination(host, written.port)


def _faults(written: tuple[Fault, ...], notes: Notes) -> Iterator[RedisFault]:
    for i, fault in enumerate(written):
        yield RedisFault(
            kind=fault.type,
            percentage=fault.percentage.value,
            delay=seconds(fault.delay, f"spec.faults[{i}].delay", notes) or 0.0,
            commands=fault.commands,
        )
