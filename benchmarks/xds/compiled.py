"""What the product makes of rules, so that other servers can be given the same bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.xds.world import to_line
from meltemi.controller.nodes import profile
from meltemi.controller.offline.offline import read_text
from meltemi.controller.offline.presets import preset
from meltemi.controller.settings import Settings
from meltemi.protocols.registry import load
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, RUNTIME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.xds.rules import Rules
    from benchmarks.xds.world import Line
    from meltemi.xds.resource import Resource, TypeUrl


@dataclass(frozen=True, slots=True)
class Compiled:
    """Everything, and its changes: ``number`` decides what changes, and to what."""

    resources: Sequence[Resource]

    @classmethod
    def of(cls, rules: Rules) -> Compiled:
        """What stock proxies on loopback get."""
        registry = load()
        text = "\n---\n".join(map(json.dumps, rules.objects()))
        snapshot = (
            read_text(text.encode(), registry, Settings())
            .group(profile(preset(), registry).group)
            .snapshot
        )
        types = [url for url in snapshot.types() if url != RUNTIME]
        return cls([each for url in types for each in snapshot.of_type(url).values()])

    def write(self, path: Path) -> None:
        """Everything, a resource in each line."""
        with path.open("w") as file:
            file.writelines(json.dumps(to_line(each)) + "\n" for each in self.resources)

    def route(self, number: int) -> Line:
        """Another version of a route table."""
        routes = {each.type_url for each in self.resources} - {CLUSTER, ENDPOINT, LISTENER}
        return self._changed(next(iter(routes)), number)

    def endpoint(self, number: int) -> Line:
        """Another version of an assignment."""
        return self._changed(ENDPOINT, number)

    def _changed(self, type_url: TypeUrl, number: int) -> Line:
        of_type = [each for each in self.resources if each.type_url == type_url]
        found = of_type[number % len(of_type)]
        # A field that nobody knows: other bytes, the same meaning.
        return to_line(replace(found, body=found.body + b"\x80\x7d" + bytes((number,))))
