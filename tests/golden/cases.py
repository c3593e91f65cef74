"""The cases: what a user writes, for which proxy, and what it compiles to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from meltemi.controller.dump import dump, secrets_of
from meltemi.controller.nodes import profile
from meltemi.controller.offline.offline import parse_node, read_path
from meltemi.controller.offline.presets import DEFAULT, PRESETS, preset, type_urls
from meltemi.controller.settings import Settings
from tests import make

if TYPE_CHECKING:
    from meltemi.controller.offline.offline import Offline
    from meltemi.protocols.group import Group
    from meltemi.xds.wire import Node

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

    def compile(self, build: str = "") -> tuple[Offline, Group]:
        """What was read, and what the proxy gets. ``build``: a preset, to whose version of Envoy
        the proxy is moved.
        """
        offline = read_path(self.file(".in.yaml"), make.registry(), Settings())
        return offline, offline.group(profile(self.node(build), offline.registry).group)

    def node(self, build: str = "") -> Node:
        """The proxy, with that build's version of Envoy if one is named."""
        file = self.file(".node.json")
        if not file.exists():
            return preset(build or DEFAULT)
        node = parse_node(file.read_bytes())
        return replace(node, version=PRESETS[build]) if build else node

    def stock(self, build: str) -> bool:
        """Whether that build of Envoy has every filter that this proxy has."""
        return self.node(build).type_urls <= type_urls(build)


CASES = [
    Case(f"{path.parent.name}/{path.name.removesuffix('.in.yaml')}")
    for path in sorted(FOLDER.glob("*/*.in.yaml"))
]


def text(case: Case) -> str:
    """What ``meltemi compile`` prints for the case."""
    offline, group = case.compile()
    assert offline.compiler.failures == {}
    shown = dump(group.snapshot, secrets_of(offline.mesh))
    return yaml.safe_dump(shown, sort_keys=False, width=100)
