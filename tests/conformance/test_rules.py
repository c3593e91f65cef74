"""Every scenario passes in each of its variants."""

from __future__ import annotations

import pytest

from tests.conformance.rules import RULES, SECTIONS, Status
from tests.conformance.scenario import Scenario, Variant, all_scenarios
from tests.conformance.world import World

PATIENCE = 20.0

CASES = [
    pytest.param(each, variant, id=f"{each.rule}-{each.name}-{variant}")
    for each in all_scenarios()
    for variant in each.variants
]


@pytest.mark.parametrize(("scenario", "variant"), CASES)
async def test_a_rule_is_obeyed(scenario: Scenario, variant: Variant) -> None:
    async with World(variant, PATIENCE).serving() as world:
        await scenario.run(world)


def test_the_catalogue_is_complete_and_says_why_where_a_rule_does_not_apply() -> None:
    numbers = [number for section in SECTIONS.values() for number in section]
    assert list(RULES) == numbers == list(range(1, 86))
    assert all(bool(rule.why) == (rule.status is not Status.APPLIES) for rule in RULES.values())
