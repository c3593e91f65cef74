"""Whatever users and proxies are called and however many there are: the series stay the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from meltemi.testing.resources import cluster
from meltemi.testing.standalone import embedded_meltemi
from meltemi.xds.peer import Identity, Peer
from meltemi.xds.resource import CLUSTER
from meltemi.xds.session import Acked, Nacked, Pushed, Subscribed
from meltemi.xds.wire import Node
from tests import make
from tests.invented import invented

if TYPE_CHECKING:
    from pathlib import Path

    from meltemi.controller.plane import ControlPlane

PATIENCE = 60.0
MANY = 1_000


def series(plane: ControlPlane) -> set[tuple[str, ...]]:
    """Every series of ours by name and labels."""
    text = generate_latest(plane.metrics.registry).decode()
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items())))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name.startswith("meltemi_")
    }


def rules(count: int) -> str:
    """Rules that are right and rules that are wrong, and kinds that nobody knows."""
    wanted = [
        {
            "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
            "kind": "MetaRouter",
            "metadata": {"name": f"rule-{number}", "namespace": f"namespace-{number}"},
            "spec": {"hosts": [f"host-{number}.example"], "routes": [{"name": f"route-{number}"}]},
        }
        for number in range(count)
    ]
    unknown = [
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": f"Invented{number}",
            "metadata": {"name": "x"},
        }
        for number in range(count)
    ]
    return yaml.safe_dump_all([*wanted, *unknown])


def talk(plane: ControlPlane, first: int, count: int) -> None:
    """Proxies with names that would break a label, which accept and refuse."""
    for number in range(first, first + count):
        name = f'edge-{number}"}} 1\nmeltemi_evil{{x="é'
        peer = Peer(f"ipv4:10.0.0.1:{number}", Identity("cluster.local", f"/ns/n{number}/sa/a"))
        plane.opened(number, Node(name, f"cluster-{number}", {}, version=(number, 1)), peer, 1.0)
        plane.statuses.joined(make.group(), invented(number, name))
        refused = Nacked(
            CLUSTER, f"v{number}", "2", f"because {number}", (cluster(f"c{number}"),), certain=True
        )
        for event in (
            Subscribed(CLUSTER),
            Pushed(CLUSTER, f"v{number}", "1", 100),
            Acked(CLUSTER, f"v{number}", "1", frozenset({f"c{number}"})),
            Pushed(CLUSTER, f"v{number}", "2", 100),
            refused,
        ):
            plane.said(number, event, 1.0)
        plane.metrics.turned_away("INVALID_ARGUMENT", "")


async def test_a_thousand_proxies_and_rules_have_as_many_series_as_one(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(rules(1))
    async with embedded_meltemi(path) as meltemi:
        plane = meltemi.plane
        talk(plane, 1, 1)
        before = series(plane)
        path.write_text(rules(MANY))
        async with asyncio.timeout(PATIENCE):
            while plane.store.count < 2 * MANY:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.01)
        talk(plane, 2, MANY)
        assert series(plane) == before
        assert len(before) < 1_000
        for number in range(1, MANY + 2):
            plane.closed(number)
