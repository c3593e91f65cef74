"""What is told of a request's way, beyond which route it takes."""

from __future__ import annotations

import pytest

from meltemi.controller.offline.explanation import explain
from tests import make


@pytest.mark.parametrize(
    ("weights", "shares"), [((80, 20), [80, 20]), ((3, 1), [75, 25]), ((1, 2), [33, 67])]
)
def test_shares_are_percentages_whatever_the_sum_of_the_weights(
    weights: tuple[int, int], shares: list[int]
) -> None:
    first, second = weights
    rule = make.rule(make.route(0, make.to("v1", first), make.to("v2", second)))
    mesh = make.mesh(make.service(), make.policy(), rule)
    found = explain(mesh, make.compiler(mesh).group(make.group()), make.host(), make.PORT, {})
    assert [target.weight for target in found.destinations] == shares
