"""A label selector is known before an API server is asked."""

from __future__ import annotations

import pytest

from meltemi.controller.kube.selectors import is_selector


@pytest.mark.parametrize(
    "text",
    [
        *("team=a", "team==a", "team!=a", "team", "!team", "team=", "a.example/team=b_c.d"),
        *("team in (a, b),!old", " team notin (a) , tier = web "),
    ],
)
def test_what_kubernetes_takes_is_taken(text: str) -> None:
    assert is_selector(text)


@pytest.mark.parametrize(
    "text",
    ["", ",", "team=a,", "-team", "team=a b", "team in a", "team in ()x", "a/b/c=d", "x" * 64],
)
def test_what_it_would_refuse_is_refused(text: str) -> None:
    assert not is_selector(text)
