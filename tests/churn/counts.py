"""What Meltemi counted, over all its lives: its own metrics, read before each end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from meltemi.testing.control_plane import MeltemiProcess


@dataclass(slots=True)
class Counts:
    """``snapshots``: rounds of changes that were handed to streams. The rest are responses, all
    that were written, and those that Envoy said something to.
    """

    snapshots: int = 0
    responses: int = 0
    accepted: int = 0
    refused: int = 0

    async def add(self, meltemi: MeltemiProcess) -> None:
        """Add what this life of it has counted."""
        samples = _samples((await meltemi.get("/metrics")).body.decode())
        self.snapshots += samples["meltemi_publish_seconds_count"]
        self.responses += samples["meltemi_xds_pushes_total"]
        self.accepted += samples["meltemi_xds_acks_total"]
        self.refused += samples.get("meltemi_xds_nacks_total", 0)


def _samples(text: str) -> dict[str, int]:
    """Each by its name, over all labels."""
    found: dict[str, int] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + int(sample.value)
    return found
