"""Every scenario passes in each of its variants, and every rule that applies has one."""

from __future__ import annotations

import pytest

from tests.conformance.rules import RULES, Status
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


def test_every_rule_that_applies_has_a_scenario_and_a_mutant() -> None:
    held = {each.rule for each in all_scenarios() if each.kills and each.variants}
    applying = {number for number, rule in RULES.items() if rule.status is Status.APPLIES}
    assert applying - held == set()


def test_the_catalogue_is_complete_and_says_why_where_a_rule_does_not_apply() -> None:
    assert list(RULES) == list(range(1, 86))
    assert all(bool(rule.why) == (rule.status is not Status.APPLIES) for rule in RULES.values())
