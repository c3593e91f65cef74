"""The catalogue of what a correct xDS server does: ``rules.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import yaml


class Strength(Enum):
    """Who asks for it."""

    MUST = "the specification demands it"
    SHOULD = "the specification advises it"
    PRACTICE = "real clients depend on it"


class Status(Enum):
    """What we do about it."""

    APPLIES = "applies"
    DEVIATION = "deviation"
    NOT_OFFERED = "not offered"


@dataclass(frozen=True, slots=True)
class Rule:
    """``source`` is public. ``why`` is for what does not apply as it stands."""

    number: int
    strength: Strength
    sentence: str
    source: str
    status: Status
    why: str


def _rule(entry: dict[str, Any]) -> Rule:
    status = next((each for each in Status if each.value in entry), Status.APPLIES)
    return Rule(
        entry["number"],
        Strength[entry["strength"]],
        entry["sentence"],
        entry["source"],
        status,
        entry.get(status.value, ""),
    )


SECTIONS: dict[str, list[Rule]] = {
    title: [_rule(entry) for entry in entries]
    for title, entries in yaml.safe_load(Path(__file__).with_name("rules.yaml").read_text()).items()
}
"""The rules by chapter, in their order."""

RULES = {rule.number: rule for rules in SECTIONS.values() for rule in rules}
"""The rules by number."""
