"""What a test really drove, and what it saw: the record behind "real servers: Envoy 1.40.0 (12
tests)" and behind tables of what works.

A tool that starts a real server calls ``record`` as soon as the server answers; a test that has
seen something work calls ``record_ability``. Whoever runs tests collects with ``collecting`` and
``collecting_abilities``; outside of them a record goes nowhere, so the tools work without any test
runner.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

# A plain list, not a context variable: servers are also started in threads and in event loops
# whose context was copied before the test began.
_open: list[set[str]] = []
_open_abilities: list[set[Ability]] = []


@dataclass(frozen=True, slots=True, order=True)
class Ability:
    """Something that works for a protocol on one of its engines, in a sentence's words.

    ``envoy`` is the version of the Envoy in which it was seen.
    """

    protocol: str
    engine: str
    ability: str
    envoy: str


def record(name: str) -> None:
    """Say that a real server now runs. ``name`` has its version: ``Envoy 1.40.0``."""
    for names in _open:
        names.add(name)


@contextmanager
def collecting() -> Generator[set[str]]:
    """The names recorded while the block runs; blocks may nest, every one of them hears."""
    names: set[str] = set()
    _open.append(names)
    try:
        yield names
    finally:
        _open[:] = [other for other in _open if other is not names]


def record_ability(protocol: str, engine: str, ability: str, envoy_version: str) -> None:
    """Say that this was just seen to work, in a real Envoy of that version."""
    for abilities in _open_abilities:
        abilities.add(Ability(protocol, engine, ability, envoy_version))


@contextmanager
def collecting_abilities() -> Generator[set[Ability]]:
    """The abilities recorded while the block runs; blocks may nest, every one of them hears."""
    abilities: set[Ability] = set()
    _open_abilities.append(abilities)
    try:
        yield abilities
    finally:
        _open_abilities[:] = [other for other in _open_abilities if other is not abilities]
