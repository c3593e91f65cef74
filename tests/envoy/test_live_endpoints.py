"""Servers that die, go and come while calls run on open connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster

from meltemi.protocols import envoy
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.standalone import embedded_meltemi
from tests.abilities import Seen, saw
from tests.envoy.rig import SPEECHES, route, share, staged, trouble, versions

if TYPE_CHECKING:
    from pathlib import Path

    from envoy_data_plane.envoy.config.core.v3 import HealthCheck

    from meltemi.protocols.api import ClusterOptions
    from meltemi.testing.report import Report
    from tests.envoy.rig import Serve, Stage

pytestmark = pytest.mark.envoy

by_protocol = pytest.mark.parametrize("protocol", SPEECHES)


@by_protocol
async def test_a_killed_destination_hands_its_share_over_after_the_next_check(
    tmp_path: Path, protocol: str
) -> None:
    async with staged(tmp_path, protocol, route(v1=90, v2=10)) as stage:
        assert share(await stage.calls(), "v2") == pytest.approx(0.1, abs=0.02)
        await stage.servers["v2"].stop()
        healthy = f"cluster.{stage.split()}.membership_healthy"
        await stage.until_stat(healthy, lambda now: now == 1)
        report = await stage.calls()
        assert trouble(report) == {}
        assert share(report, "v1") == 1
        await saw(stage.envoy, protocol, Seen.HANDED_OVER)


def unchecked(_: ClusterOptions) -> list[HealthCheck]:
    return []


async def test_without_a_check_a_killed_destination_keeps_failing_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envoy, "health_checks", unchecked)
    routes = route(v1=90, v2=10)
    async with staged(tmp_path, "dubbo", routes, serve=embedded_meltemi) as stage:
        await stage.servers["v2"].stop()
        await stage.load.first(lambda call: call.error is not None)
        await stage.calls()  # more than a second, in which a check would have come
        report = await stage.calls()
    assert report.failed == pytest.approx(30, abs=10)


async def after_a_removal(folder: Path, serve: Serve) -> tuple[Report, Stage]:
    """The calls after one of two endpoints, whose server answers as ever, has left the file."""
    names = ("v1.stays", "v1.goes")
    async with staged(folder, "dubbo", route(v1=100), names=names, serve=serve) as stage:
        assert share(await stage.calls(), "v1.goes") == pytest.approx(0.5, abs=0.05)
        del stage.endpoints["v1.goes"]
        stage.save_endpoints()
        removed = f"cluster.{stage.cluster('v1')}.update_success"
        await stage.until_stat(removed, lambda now: now >= 2)
        return await stage.calls(), stage


async def test_an_endpoint_that_leaves_the_file_loses_its_traffic_though_it_answers(
    tmp_path: Path,
) -> None:
    report, stage = await after_a_removal(tmp_path, MeltemiProcess)
    assert versions(report) == {"v1.stays": len(report.calls)}
    assert trouble(stage.load.report()) == {}


async def test_without_our_settings_an_endpoint_that_left_keeps_its_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(**fields: Any) -> Cluster:
        fields["ignore_health_on_host_removal"] = False
        return Cluster(**fields)

    monkeypatch.setattr(envoy, "Cluster", careless)
    report, _ = await after_a_removal(tmp_path, embedded_meltemi)
    assert share(report, "v1.goes") == pytest.approx(0.5, abs=0.05)


async def test_servers_are_replaced_one_after_the_other_without_a_failed_call(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path, "dubbo", route(v1=100), names=("v1.0",)) as stage:
        for turn in range(2):
            await stage.serve(f"v1.{turn + 1}")
            stage.save_endpoints()
            await stage.answered_by(f"v1.{turn + 1}")
            del stage.endpoints[f"v1.{turn}"]
            stage.save_endpoints()
            members = f"cluster.{stage.cluster('v1')}.membership_total"
            await stage.until_stat(members, lambda now: now == 1)
            report = await stage.calls(100)
            assert share(report, f"v1.{turn + 1}") == 1
            await stage.servers[f"v1.{turn}"].stop()
        assert trouble(stage.load.report()) == {}
        await saw(stage.envoy, "dubbo", Seen.REPLACED)


async def test_a_server_that_stops_before_it_leaves_the_file_fails_calls(tmp_path: Path) -> None:
    names = ("v1.stays", "v1.goes")
    async with staged(tmp_path, "dubbo", route(v1=100), names=names) as stage:
        stage.servers["v1.goes"].delay_s = 0.1  # so that it certainly has calls under way
        await stage.calls(50)
        await stage.servers["v1.goes"].stop()
        del stage.endpoints["v1.goes"]
        stage.save_endpoints()
        members = f"cluster.{stage.cluster('v1')}.membership_total"
        await stage.until_stat(members, lambda now: now == 1)
        assert stage.load.report().failed > 0
        assert trouble(await stage.calls()) == {}
