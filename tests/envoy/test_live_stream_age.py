"""Streams that end of age, again and again, while calls run: nobody notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meltemi.controller.bootstrap import CLUSTER
from tests.envoy.rig import route, staged, trouble

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy

STREAMS = f"cluster.{CLUSTER}.upstream_rq_total"
CONNECTIONS = f"cluster.{CLUSTER}.upstream_cx_total"


@pytest.mark.parametrize("sotw", [False, True], ids=["delta", "sotw"])
async def test_streams_that_end_every_two_seconds_fail_no_call_and_delay_no_rule_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sotw: bool
) -> None:
    monkeypatch.setenv("MELTEMI_MAX_STREAM_AGE", "2")
    async with staged(tmp_path, "dubbo", route(v1=80, v2=20), sotw=sotw) as stage:
        begun = (await stage.envoy.stats(STREAMS))[STREAMS]
        await stage.until_stat(STREAMS, lambda now: now >= begun + 1)
        stage.save_rules(route(v1=10, v2=90))
        await stage.until_share("v2", 0.9)
        await stage.until_stat(STREAMS, lambda now: now >= begun + 2)
        # So that the next stream may lead to another replica.
        await stage.until_stat(CONNECTIONS, lambda now: now >= 2)
        assert trouble(stage.load.report()) == {}
        rejected = await stage.envoy.stats("update_rejected")
        assert sum(rejected.values()) == 0
