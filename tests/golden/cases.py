"""The cases: what a user writes, for which proxy, and what it compiles to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from meltemi.controller.dump import dump, secrets_of
from meltemi.controller.nodes import profile
from meltemi.controller.offline import parse_node, read_path
from meltemi.controller.presets import DEFAULT, preset, type_urls
from meltemi.controller.settings import Settings
from tests import make

if TYPE_CHECKING:
    from meltemi.controller.offline import Offline
    from meltemi.protocols.group import Group

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """``<path>.in.yaml`` and ``.out.yaml``; ``.node.json`` where the proxy is not a stock one;
    ``.metards.json`` is what Aeraki makes of the same.
    """

    path: str
    """The folder and the name."""

    def __str__(self) -> str:
        return self.path

    def file(self, suffix: str) -> Path:
        """One of the case's files."""
        return FOLDER / f"{self.path}{suffix}"

    def compile(self) -> tuple[Offline, Group]:
        """What was read, and what the proxy gets."""
        offline = read_path(self.file(".in.yaml"), make.registry(), Settings())
        node = self.file(".node.json")
        wanted = parse_node(node.read_bytes()) if node.exists() else preset()
        return offline, offline.group(profile(wanted, offline.registry).group)

    def stock(self) -> bool:
        """Whether a stock Envoy has every filter that this proxy has."""
        node = self.file(".node.json")
        return not node.exists() or parse_node(node.read_bytes()).type_urls <= type_urls(DEFAULT)


CASES = [
    Case(f"{path.parent.name}/{path.name.removesuffix('.in.yaml')}")
    for path in sorted(FOLDER.glob("*/*.in.yaml"))
]


def text(case: Case) -> str:
    """What ``meltemi compile`` prints for the case."""
    offline, group = case.compile()
    shown = dump(group.snapshot, secrets_of(offline.mesh))
    return yaml.safe_dump(shown, sort_keys=False, width=100)
