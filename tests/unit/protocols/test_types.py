"""The table of types: what is pushed first, and what must never be waited for."""

from __future__ import annotations

import pytest

from meltemi.protocols.assignments import empty_assignment, empty_layer
from meltemi.protocols.types import type_table
from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    EXTENSION,
    LISTENER,
    RUNTIME,
    SECRET,
    Missing,
    Removal,
)

ROUTES = ("b.RouteConfiguration", "a.RouteConfiguration")
TABLE = {rules.type_url: rules for rules in type_table(ROUTES)}


def those(**wanted: object) -> set[str]:
    """The types whose rules say this."""
    return {
        url
        for url, rules in TABLE.items()
        if all(getattr(rules, name) == value for name, value in wanted.items())
    }


def test_what_others_name_comes_first() -> None:
    assert [*TABLE] == [RUNTIME, SECRET, CLUSTER, ENDPOINT, LISTENER, EXTENSION, *sorted(ROUTES)]


def test_only_listeners_and_clusters_come_in_full_and_unasked() -> None:
    assert those(full_state=True) == those(wildcard=True) == {CLUSTER, LISTENER}


def test_what_a_proxy_would_wait_for_is_answered_empty() -> None:
    assert TABLE[RUNTIME].missing_sotw is TABLE[RUNTIME].missing_delta is empty_layer
    assert TABLE[ENDPOINT].missing_sotw is empty_assignment


def test_an_unknown_route_table_is_silence() -> None:
    silent = those(missing_sotw=Missing.SILENCE, missing_delta=Missing.SILENCE)
    assert silent == {SECRET, EXTENSION, *ROUTES}


def test_what_names_clusters_waits_for_them() -> None:
    assert those(gated=True) == {LISTENER, *ROUTES}


@pytest.mark.parametrize(
    ("removal", "types"),
    [
        (Removal.LINGER, {CLUSTER}),
        (Removal.AT_ONCE, {LISTENER}),
        (Removal.WITH_PARENT, {ENDPOINT}),
        (Removal.NEVER, {RUNTIME, SECRET, EXTENSION, *ROUTES}),
    ],
)
def test_a_removal_is_told_when_it_harms_nobody(removal: Removal, types: set[str]) -> None:
    assert those(removal=removal) == types


def test_endpoints_runtime_and_secrets_are_never_staged() -> None:
    assert those(staged=False) == {ENDPOINT, RUNTIME, SECRET}


def test_no_type_is_listed_twice() -> None:
    assert len(type_table(ROUTES)) == len(TABLE)
