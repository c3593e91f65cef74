"""Every scenario notices each of its mutants: what it tells of the server is not luck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.scenario import Scenario, Variant, all_scenarios
from tests.conformance.world import World

if TYPE_CHECKING:
    from tests.conformance.scenario import Mutant

PATIENCE = 0.3
"""Seconds. A mutant may well keep silent for ever."""

CASES = [
    pytest.param(each, mutant, id=f"{each.rule}-{each.name}-{mutant.__name__}")
    for each in all_scenarios()
    for mutant in each.kills
]


@pytest.mark.parametrize(("scenario", "mutant"), CASES)
async def test_a_mutant_is_noticed(
    scenario: Scenario, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    for variant in scenario.variants:
        if await notices(scenario, variant):
            return
    pytest.fail(f"{scenario.name} passes with {mutant.__name__}")


async def notices(scenario: Scenario, variant: Variant) -> bool:
    """Whether a scenario fails. An error of the server is no verdict: it is raised."""
    async with World(variant, PATIENCE).serving() as world:
        try:
            await scenario.run(world)
        except (AssertionError, TimeoutError):
            return True
    return False
