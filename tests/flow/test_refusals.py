"""A proxy that refuses without end: its last word is known, and nobody else is disturbed."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from meltemi.controller.findings_board import FindingsBoard
from meltemi.controller.plane import ControlPlane
from meltemi.controller.settings import Settings
from meltemi.controller.sources.files import FilesSource
from meltemi.protocols.registry import load
from meltemi.testing.resources import cluster
from meltemi.xds.peer import Peer
from meltemi.xds.resource import CLUSTER
from meltemi.xds.session import Nacked
from meltemi.xds.wire import Node
from tests import make
from tests.invented import invented

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_a_thousand_refusals_are_a_few_lines_of_log_and_a_few_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = ControlPlane(load(), FilesSource(tmp_path), Settings())
    looks: list[FindingsBoard] = []

    def look(board: FindingsBoard) -> None:
        looks.append(board)

    monkeypatch.setattr(FindingsBoard, "look", look)
    plane.opened(1, Node("proxy", "", {}), Peer("ipv4:127.0.0.1:1"), 0)
    plane.statuses.joined(make.group(), invented(1))
    began = monotonic()
    with capture_logs() as logs:
        for number in range(1000):
            error = f"reason {number}"
            event = Nacked(CLUSTER, "1", str(number), error, (cluster("a"),), certain=True)
            plane.said(1, event, began + number / 1000)
    told = [each for each in logs if each["event"] == "proxy.nacked"]
    assert 0 < len(told) < 10
    assert 0 < len(looks) < 20
    [stream] = plane.status.streams()
    assert [refusal.message for refusal in stream.types[CLUSTER].refusals] == ["reason 999"]
