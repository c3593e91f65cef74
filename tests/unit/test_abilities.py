"""The README's table is what tests saw, and a run notices when it is not."""

from __future__ import annotations

import pytest

from meltemi.testing.evidence import Ability
from tests import abilities
from tests.abilities import BEGIN, END, Seen, differences, table, with_table

OLD = Ability("dubbo", "generic_proxy", Seen.CHANGED, "1.36.4")
NEW = Ability("dubbo", "generic_proxy", Seen.CHANGED, "1.40.0")
MIRROR = Ability("redis", "redis_proxy", Seen.MIRRORED, "1.40.0")


def test_the_table_in_the_readme_is_the_one_of_the_file() -> None:
    readme = abilities.README.read_text()
    assert readme == with_table(readme, abilities.read())


def test_every_ability_in_the_file_is_one_that_tests_can_see() -> None:
    assert {each.ability for each in abilities.read()} <= {*Seen}


def test_a_cell_lists_the_versions_of_envoy_and_is_empty_where_nothing_was_seen() -> None:
    assert table([NEW, OLD, MIRROR]).splitlines() == [
        "| | Dubbo: `generic_proxy` | Redis: `redis_proxy` |",
        "| --- | --- | --- |",
        f"| {Seen.CHANGED} | 1.36, 1.40 | |",
        f"| {Seen.MIRRORED} | | 1.40 |",
    ]


def test_only_what_is_between_the_marks_is_replaced() -> None:
    assert (
        with_table(f"# A\n{BEGIN}old\n{END}\n# B\n", [])
        == f"# A\n{BEGIN}| |\n| --- |\n{END}\n# B\n"
    )


def test_a_readme_without_the_marks_has_no_place_for_the_table() -> None:
    with pytest.raises(ValueError, match="no place for the table"):
        with_table("# A\n", [])


def test_what_is_new_is_told_after_any_run() -> None:
    found = differences({NEW, OLD}, {OLD}, complete=False)
    assert found == [f"seen, not in the file: dubbo on generic_proxy, Envoy 1.40.0: {Seen.CHANGED}"]


def test_what_is_gone_is_told_after_a_complete_run_only() -> None:
    assert differences({OLD}, {OLD, MIRROR}, complete=False) == []
    assert differences({OLD}, {OLD, MIRROR}, complete=True) == [
        f"in the file, not seen: redis on redis_proxy, Envoy 1.40.0: {Seen.MIRRORED}"
    ]
