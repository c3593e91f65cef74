"""What works on which engine, as tests saw it in real Envoys: ``docs/abilities.json`` and the
README's table.
"""

from __future__ import annotations

import json
from collections import defaultdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from meltemi.testing.evidence import Ability, record_ability
from tests import make

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from meltemi.testing.envoy import Envoy

    Tree: TypeAlias = dict[str, dict[str, dict[str, list[str]]]]

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "abilities.json"
README = ROOT / "README.md"
TITLES = {"tcp": "TCP"}
BEGIN, END = "<!-- abilities: written by `make test ARGS=--update-abilities` -->\n", "<!-- end -->"


class Seen(StrEnum):
    """The rows of the table."""

    ACCEPTED = "all that is compiled is accepted"
    MATCHES = "requests go where `explain` says"
    CHANGED = "weights and routes change on open connections, no call fails"
    SHARES = "shares are as the weights say"
    HANDED_OVER = "a dead destination's share goes to the living"
    TIMED_OUT = "a timeout ends a call, its connection goes on"
    RETRIED = "a call is tried again where no connection opens"
    REPLACED = "servers are replaced, no call fails"
    RESTARTED = "Meltemi restarts or is killed, no call fails"
    MIRRORED = "a mirror's percentage changes, no connection closes"
    MOVED_PREFIX = "a prefix moves to another server while connections drain"
    FAULTED = "a fault's percentage changes, no connection closes"
    SHARDED = "the nodes of a cluster are found by one of them"
    REPLICAS_READ = "a read policy reads from replicas"
    LOCKED = "a password that is missing locks"
    JAVA = "Apache Dubbo 2.7 and 3.3 on both sides"
    PASSED = "every connection of every client passes Envoy"
    GROUPS = "consumer groups and transactions work"
    MOVED_BROKER = "a broker moves, no record is lost"
    SERVER_NAMES = "one port for all brokers, by server name"


async def saw(envoy: Envoy, protocol: str, ability: Seen) -> None:
    """Say that this was seen, on each engine of the protocol that this Envoy's listeners end in."""
    for listener in await envoy.config_dump("dynamic_listeners"):
        for chain in listener["active_state"]["listener"]["filter_chains"]:
            engine = chain["filters"][-1]["name"].rpartition(".")[2]
            if make.registry().engine(protocol, engine) is not None:
                record_ability(protocol, engine, ability, envoy.version)


def read() -> frozenset[Ability]:
    """What is committed."""
    tree: Tree = json.loads(FILE.read_text())
    return frozenset(
        Ability(protocol, engine, ability, version)
        for protocol, engines in tree.items()
        for engine, abilities in engines.items()
        for ability, versions in abilities.items()
        for version in versions
    )


def write(abilities: Collection[Ability]) -> None:
    """Write the file and the README's table."""
    tree: Tree = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for each in sorted(abilities):
        tree[each.protocol][each.engine][each.ability].append(each.envoy)
    FILE.write_text(json.dumps(tree, indent=2) + "\n")
    README.write_text(with_table(README.read_text(), abilities))


def with_table(readme: str, abilities: Collection[Ability]) -> str:
    """The README with this table between its marks."""
    before, _, rest = readme.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{README.name} has no place for the table: {BEGIN.strip()} ... {END}")
    return f"{before}{BEGIN}{table(abilities)}{mark}{after}"


def table(abilities: Collection[Ability]) -> str:
    """A row per ability, a column per engine, Envoy's minor versions where it was seen."""
    columns = sorted({(each.protocol, each.engine) for each in abilities})
    cells: Mapping[tuple[str, str, str], set[str]] = defaultdict(set)
    for each in abilities:
        cells[each.protocol, each.engine, each.ability].add(each.envoy.rpartition(".")[0])
    lines = [
        [
            "",
            *(
                f"{TITLES.get(protocol, protocol.title())}: `{engine}`"
                for protocol, engine in columns
            ),
        ],
        ["---"] * (len(columns) + 1),
        *(
            [row, *(", ".join(sorted(cells[*column, row])) for column in columns)]
            for row in Seen
            if any(each.ability == row for each in abilities)
        ),
    ]
    return "".join(f"| {' | '.join(line)} |\n".replace("  ", " ") for line in lines)


def differences(
    seen: Collection[Ability], committed: Collection[Ability], *, complete: bool
) -> list[str]:
    """A line for what a run saw and the file lacks, and, after a complete run, for what the file
    claims and nobody saw.
    """
    new = [("seen, not in the file", each) for each in sorted({*seen} - {*committed})]
    old = [("in the file, not seen", each) for each in sorted({*committed} - {*seen})]
    return [
        f"{what}: {each.protocol} on {each.engine}, Envoy {each.envoy}: {each.ability}"
        for what, each in (new + old if complete else new)
    ]
