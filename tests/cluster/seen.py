"""What replicas and Envoys say of themselves, for whoever watches them from outside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meltemi.testing.control_plane import MeltemiProcess
    from meltemi.testing.envoy import Envoy

TAKEN_IN = (
    "listener_manager.listener_added",
    "listener_manager.listener_modified",
    "listener_manager.listener_removed",
    "listener_manager.total_listeners_draining",
    "cluster_manager.cluster_added",
    "cluster_manager.cluster_modified",
    "cluster_manager.cluster_removed",
)
"""What Envoy counts when something is new to it."""


async def metric(replica: MeltemiProcess, series: str) -> float | None:
    """The value of one series; None when there is none."""
    found = [value for name, value in await _series(replica) if name == series]
    return found[0] if found else None


async def total(replica: MeltemiProcess, name: str) -> float:
    """The sum of a metric over all its labels."""
    return sum(value for series, value in await _series(replica) if series.startswith(f"{name}{{"))


async def sent(replica: MeltemiProcess) -> float:
    """Bytes that its proxies were sent so far."""
    return await total(replica, "meltemi_xds_sent_bytes_total")


async def held(replica: MeltemiProcess, proxy: str = "envoy") -> Any:
    """All that a replica has for a proxy, with its versions."""
    page = await replica.get(f"/config?proxy={proxy}")
    assert page.status == 200, page.body
    return json.loads(page.body)


async def connected(replica: MeltemiProcess, proxy: str = "envoy") -> bool:
    """Whether a proxy has come."""
    return bool(json.loads((await replica.get(f"/proxies?id={proxy}")).body))


async def taken_in(envoy: Envoy) -> dict[str, int]:
    """How often anything was new to it."""
    stats = await envoy.stats()
    return {name: stats[name] for name in TAKEN_IN}


async def _series(replica: MeltemiProcess) -> list[tuple[str, float]]:
    page = (await replica.get("/metrics")).body.decode()
    lines = [line.rpartition(" ") for line in page.splitlines() if not line.startswith("#")]
    return [(name, float(value)) for name, _, value in lines]
