"""The cases: each starts what it compares, takes turns with it, and makes a table."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.xds.compiled import Compiled
from benchmarks.xds.rig import Measured, Rig, ServerName, Setting, Storm, peers, rigs
from benchmarks.xds.rules import Rules
from benchmarks.xds.table import Table
from benchmarks.xds.world import World, to_line
from tests.certificates import Authority, files

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from benchmarks.xds.proxy import DialectName

Change = Literal["route", "endpoint"]

OURS: tuple[ServerName, ...] = ("engine", "engine, uvloop", "floor")
PEERS: tuple[ServerName, ...] = ("linear", "snapshot")
AND_FLOOR: tuple[ServerName, ...] = ("engine", "floor")
EXPENSIVE = 50
"""Milliseconds of a server's CPU for a push, all streams together and a thousandth of it: whoever
costs more has fewer rounds, which are less noisy, too.
"""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: rounds of changes, storms, and the largest numbers."""

    rounds: int = 6
    storms: int = 2
    streams: int = 1000
    services: int = 1000


QUICK = Extent(rounds=1, storms=1, streams=20, services=20)

# Of the product: dialect, services and namespaces.
PRODUCTS: tuple[tuple[DialectName, int, int], ...] = (
    ("sotw", 1000, 1),
    ("delta", 1000, 1),
    ("delta", 100, 1),
    ("delta", 100, 10),
)


def compared() -> tuple[ServerName, ...]:
    """Ours, and peers where they can be built."""
    return (*OURS, *PEERS) if peers() else OURS


def fan_out(extent: Extent) -> Iterator[Table]:
    """One change for everybody, connecting, and reconnecting."""
    pushes = Table(
        "One change for all streams",
        "CPU of the server in µs for each push and its ACK (median), and ms until the last client "
        "had it (best, median).",
        "dialect | services | streams | server | route CPU | route last | route bytes | "
        "endpoint CPU | endpoint last | endpoint bytes",
    )
    storms = Table(
        "All streams at once",
        "First connections without the server's first work, and reconnects of proxies that hold "
        "everything: state of the world gets all of it again, delta nothing. Until the last ACK.",
        "dialect | services | streams | server | connect CPU µs | KiB/stream idle | "
        "reconnect CPU µs | reconnect ms | peak MiB | kB sent to each | resources",
    )
    few, many = min(100, extent.services), extent.services
    sizes = [(few, extent.streams // 10), (few, extent.streams // 2), (few, extent.streams)]
    sizes += [(many, extent.streams // 10), (many, extent.streams // 2), (many, extent.streams)]
    dialects: tuple[DialectName, ...] = ("sotw", "delta")
    for dialect in dialects:
        for services, streams in sizes:
            if dialect == "sotw" or streams == extent.streams:
                _fan_out(extent, pushes, storms, (dialect, services, streams))
    yield pushes
    yield storms


def _fan_out(
    extent: Extent, pushes: Table, storms: Table, cell: tuple[DialectName, int, int]
) -> None:
    dialect, services, streams = cell
    world = World(services)
    with _written(world.write) as file:
        setting = Setting(file, streams, dialect)
        with rigs(compared(), setting) as running:
            connected = {name: rig.connect() for name, rig in running.items()}
            routes = _rounds(extent, running, lambda number: to_line(world.route(number)))
            endpoints = _rounds(extent, running, lambda number: to_line(world.endpoint(number)))
            for name in running:
                pushes.add(*cell, name, *_pushed(routes[name]), *_pushed(endpoints[name]))
            if streams < extent.streams:
                return
            for name, rig in running.items():
                first, idle = connected[name]
                again = [rig.reconnect() for _ in range(extent.storms)]
                storms.add(
                    *cell,
                    name,
                    f"{first.cpu:.0f}",
                    f"{idle:.0f}",
                    f"{median(storm.cpu for storm in again):.0f}",
                    f"{median(storm.last for storm in again):.0f}",
                    f"{max(first.peak, *(storm.peak for storm in again)):.0f}",
                    f"{again[-1].bytes / 1e3:.0f}",
                    f"{again[-1].resources:.0f}",
                )


def scopes(extent: Extent) -> Iterator[Table]:
    """The same change for groups of proxies that do not share a snapshot."""
    table = Table(
        "A route change for many groups",
        "Every group has a snapshot of its own. CPU of the server in µs for each push and its ACK.",
        "dialect | services | streams | groups | server | route CPU | route last | bytes",
    )
    services = min(100, extent.services)
    world = World(services)
    for count in sorted({1, min(10, extent.streams), extent.streams}):
        with _written(world.write) as file:
            setting = Setting(file, extent.streams, "delta", count)
            chosen: tuple[ServerName, ...] = ("engine", *(PEERS if peers() else ()))
            with rigs(chosen, setting) as running:
                for rig in running.values():
                    rig.connect()
                measured = _rounds(extent, running, lambda number: to_line(world.route(number)))
                for name, found in measured.items():
                    table.add("delta", services, extent.streams, count, name, *_pushed(found))
    yield table


def product(extent: Extent) -> Iterator[Table]:
    """A user's rule changes: decoded, compiled, published, delivered."""
    table = Table(
        "A rule changes, in the whole product",
        "From the change of a MetaRouter (of an endpoint) in the source to the client: ms until 99 "
        "of 100 clients and the last one had it, over all rounds; CPU of the whole process in µs "
        "for each push and its ACK.",
        "dialect | services | streams | namespaces | change | p99 best | p99 median | "
        "p99 worst | last median | CPU | bytes",
    )
    beneath = Table(
        "The same bytes without the product",
        "What the product made of these rules, served by less; CPU as above. A proxy has some "
        "3,000 assignments then, and in state of the world each ACK of one repeats all their "
        "names, 170 kB.",
        "dialect | resources | streams | server | route CPU | endpoint CPU",
    )
    for dialect, services, count in PRODUCTS:
        rules = Rules(services)
        changes: Sequence[tuple[Change, Callable[[int], Mapping[str, Any]]]] = (
            ("route", rules.route),
            ("endpoint", rules.endpoint),
        )
        with _written(rules.write) as file:
            setting = Setting(file, extent.streams, dialect, count)
            with rigs(["product"], setting) as running:
                running["product"].gather()
                for change, make in changes:
                    found = _rounds(extent, running, make, least=10)["product"]
                    table.add(
                        dialect,
                        services,
                        extent.streams,
                        count,
                        change,
                        f"{min(found.p99):.0f}",
                        f"{median(found.p99):.0f}",
                        f"{max(found.p99):.0f}",
                        f"{median(found.last):.0f}",
                        f"{median(found.push):.0f}",
                        found.bytes,
                    )
        if services == extent.services and count == 1:
            _beneath(extent, beneath, dialect, Compiled.of(rules))
    yield table
    yield beneath


def _beneath(extent: Extent, table: Table, dialect: DialectName, compiled: Compiled) -> None:
    with _written(compiled.write) as file:
        setting = Setting(file, extent.streams, dialect)
        with rigs(AND_FLOOR, setting) as running:
            for rig in running.values():
                rig.gather()
            routes = _rounds(extent, running, compiled.route, least=10)
            endpoints = _rounds(extent, running, compiled.endpoint, least=10)
            for name in running:
                cells = (f"{median(each[name].push):.0f}" for each in (routes, endpoints))
                table.add(dialect, len(compiled.resources), extent.streams, name, *cells)


def silence(extent: Extent) -> Iterator[Table]:
    """What must not be sent."""
    table = Table(
        "What must not be sent",
        "Responses that streams got and should not have got, in the whole product.",
        "what | streams | responses",
    )
    groups = min(10, extent.streams)
    rules = Rules(groups, exported="scope-%")
    with _written(rules.write) as file:
        setting = Setting(file, extent.streams, "sotw", groups)
        with rigs(["product"], setting) as running:
            rig = running["product"]
            rig.gather()
            heard_by = extent.streams // groups
            heard = [
                rig.push(rules.route(number), Measured(), heard_by) for number in range(groups)
            ]
            wrong = sum(heard) - groups * heard_by
            table.add(f"{groups} rules of other namespaces", extent.streams - heard_by, wrong)
            # The last change once more, then another one that shows that it was dealt with.
            rig.server.ask(resource=rules.route(groups - 1))
            wrong = rig.push(rules.route(groups), Measured(), heard_by) - heard_by
            table.add("the same rule once more", extent.streams, wrong)
    yield table


def idle(extent: Extent) -> Iterator[Table]:
    """What a stream costs that has nothing to hear, in plaintext and with mutual TLS."""
    table = Table(
        "Idle streams, and mutual TLS",
        "State of the world, certificates of both sides (P-256). KiB of the server's "
        "memory for each stream that has everything; where all came at once, what the storm needed "
        "and the allocator keeps is in it.",
        "transport | services | streams | server | KiB, came by fifties | KiB, came at once | "
        "connect CPU µs | route CPU | route last | bytes",
    )
    world = World(extent.services)
    with _written(world.write) as file:
        authority = Authority()
        files(file.parent / "server", authority.server(), authority)
        files(file.parent / "client", authority.proxy("default"), authority)
        for transport, tls in (("plaintext", None), ("mutual TLS", file.parent)):
            setting = Setting(file, extent.streams, tls=tls)
            with rigs(AND_FLOOR, setting) as running:
                gathered = {str(name): rig.gather() for name, rig in running.items()}
            with rigs(AND_FLOOR, setting) as running:
                came: dict[ServerName, tuple[Storm, float]] = {
                    n: rig.connect() for n, rig in running.items()
                }
                found = _rounds(extent, running, lambda number: to_line(world.route(number)))
            for name, (storm, kept) in came.items():
                table.add(
                    transport,
                    extent.services,
                    extent.streams,
                    name,
                    f"{gathered[name]:.0f}",
                    f"{kept:.0f}",
                    f"{storm.cpu:.0f}",
                    *_pushed(found[name]),
                )
    yield table


def _rounds(
    extent: Extent,
    running: Mapping[ServerName, Rig],
    make: Callable[[int], Mapping[str, Any]],
    *,
    least: int = 1,
) -> dict[ServerName, Measured]:
    """Changes, one server after the other in every round; the first one warms up."""
    measured: dict[ServerName, Measured] = {name: Measured() for name in running}
    for name, rig in running.items():
        rig.push(make(1), Measured())
        rig.push(make(2), measured[name])
    for number in range(3, max(extent.rounds, least) + 2):
        for name, rig in running.items():
            if number < 4 or measured[name].push[0] < EXPENSIVE * 1e3 / len(running):
                rig.push(make(number), measured[name])
    return measured


def _pushed(found: Measured) -> tuple[str, str, int]:
    """The cells of a change."""
    last = f"{min(found.last):.0f}, {median(found.last):.0f}"
    return f"{median(found.push):.0f}", last, found.bytes


@contextmanager
def _written(write: Callable[[Path], None]) -> Generator[Path]:
    with tempfile.TemporaryDirectory(prefix="meltemi-benchmark-") as folder:
        path = Path(folder) / "world"
        write(path)
        yield path
