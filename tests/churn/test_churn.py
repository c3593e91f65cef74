"""A slice of ``make churn``: it is good, and with one thing left out of Meltemi it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.envoy import Envoy
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import LOOPBACK, Address
from tests.churn.__main__ import options
from tests.churn.cell import Cell, Result, run
from tests.churn.controls import CONTROLS
from tests.churn.holding import differences
from tests.churn.page import page, row
from tests.churn.proxy import bootstrap_for
from tests.churn.world import Routing, Side, beginning, rules_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.churn.world import World

CELL = Cell("1.40.0", "delta", "legacy")


def ruled(world: World, *names: str) -> Iterator[World]:
    """Both versions get calls, by routes of these names, one after the other."""
    for name in names:
        for protocol in ("dubbo", "thrift"):
            routes = (Routing(name, (("v1", 50), ("v2", 50))),)
            world = world.with_steady(replace(world.steady[protocol], routes=routes))
        yield world


def with_side(world: World, protocol: str, *listed: str) -> World:
    return replace(world, sides={0: Side(protocol, frozenset(listed))})


BEGINNING = beginning()
RULED = next(ruled(BEGINNING, "all"))
SCRIPTS: Mapping[str, tuple[str, tuple[World, ...]]] = {
    "no-make-before-break": (
        "unknown cluster",
        tuple(ruled(BEGINNING, "all", "canary", "blue", "green")),
    ),
    "no-assignment-again": (
        "warming_clusters",
        (with_side(BEGINNING, "dubbo", "v1.a"), with_side(BEGINNING, "tcp", "v1.a")),
    ),
    "a-change-forgotten": (
        "endpoints: ",
        (with_side(BEGINNING, "tcp", "v1.a"), with_side(BEGINNING, "tcp", "v1.a", "v1.b")),
    ),
    "a-bad-rule-sent": (
        "update_rejected",
        (RULED, replace(RULED, broken={rules_file("dubbo"): "regex"})),
    ),
}
"""What is noticed, and the changes that bring it, by the control."""


@pytest.mark.envoy
async def test_an_envoy_holds_what_it_should_and_no_call_fails_over_cuts_and_restarts(
    tmp_path: Path,
) -> None:
    result = await run(Cell("1.40.0", "delta", "unified"), lambda it: it.churn(30), 1, tmp_path)
    assert result.troubles == []
    assert result.good
    assert result.changes == 30
    assert result.events == {"cut": 1, "kill": 1}
    assert result.snapshots > 10
    assert 10 < result.accepted <= result.responses


@pytest.mark.envoy
@pytest.mark.parametrize("version", ENVOY_VERSIONS)
@pytest.mark.parametrize("sotw", [True, False], ids=["sotw", "delta"])
@pytest.mark.parametrize("unified", [True, False], ids=["unified", "legacy"])
async def test_the_xds_client_that_is_asked_for_is_the_one_that_runs(
    tmp_path: Path, version: str, *, sotw: bool, unified: bool
) -> None:
    """Its debug log names the source files."""
    nowhere = Address(LOOPBACK, 1)
    document = bootstrap_for(nowhere, LOOPBACK, sotw=sotw, unified=unified)
    log = tmp_path / "envoy.log"

    async def told() -> bool:
        return "gRPC config stream to meltemi-xds closed" in log.read_text()

    envoy = Envoy(document, version=version, extra_args=("-l", "debug"), folder=tmp_path)
    async with envoy:
        await envoy.process.wait_until(told, "look for its control plane", 20)
        assert ("/xds_mux/" in log.read_text()) == unified


@pytest.mark.envoy
@pytest.mark.parametrize("control", SCRIPTS)
async def test_what_is_left_out_is_noticed(tmp_path: Path, control: str) -> None:
    symptom, worlds = SCRIPTS[control]
    result = await run(CELL, lambda it: it.through(worlds), 1, tmp_path, control)
    assert any(symptom in trouble for trouble in result.troubles), result.troubles
    assert not result.good


@pytest.mark.envoy
async def test_with_nothing_left_out_the_same_changes_are_no_trouble(tmp_path: Path) -> None:
    worlds = [world for _, script in SCRIPTS.values() for world in script]
    result = await run(CELL, lambda it: it.through(worlds), 1, tmp_path)
    assert result.troubles == []


def test_every_control_is_tried() -> None:
    assert SCRIPTS.keys() == CONTROLS.keys()


def test_a_difference_is_told_once_for_each_resource() -> None:
    should = {"clusters": {"a": 1, "b": 2, "c": 3}, "routes": {}}
    does = {"clusters": {"a": 1, "b": 4, "d": 5}, "routes": {}}
    assert differences(should, does) == [
        "clusters: c is missing",
        "clusters: d is too many",
        "clusters: b is 4 and should be 2",
    ]


def test_filters_leave_a_part_of_the_matrix_and_a_part_is_no_page() -> None:
    assert len(options([]).cells) == 20
    assert options([]).complete
    part = options(
        ["--envoy", "1.40", "--dialect", "delta", "--mux", "unified", "--changes", "200"]
    )
    assert part.cells == (Cell("1.40.0", "delta", "unified"),)
    assert not part.complete
    assert not options(["--control", "a-bad-rule-sent"]).complete


def test_the_page_tells_each_cell_and_what_was_not_good() -> None:
    good = Result("1.40.0", "delta", "legacy", changes=10, calls=100, on_new=20)
    bad = Result("1.36.4", "sotw", "legacy", changes=10, calls=50, failed={"dubbo: no": 2})
    text = " ".join(page([good, bad], 7, "abc1234").split())
    assert row(good) in text
    assert "- 1.36.4 sotw legacy: 2 calls failed: dubbo: no" in text
    assert "**150 calls, 20 of them on connections of their own, 2 failed**" in text
    assert "Commit `abc1234`" in text
    assert "1 of 2 cells good" in text
