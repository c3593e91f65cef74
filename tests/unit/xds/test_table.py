"""A table behaves as a dict that is copied on every change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.xds.table import PATCH, Table

CHANGES = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.none() | st.integers(), max_size=4), max_size=8
)


@given(CHANGES, st.booleans())
def test_any_history_of_changes_gives_what_a_copied_dict_gives(
    history: list[dict[str, int | None]], read: bool
) -> None:
    table: Table[int] = Table()
    expected: dict[str, int] = {}
    versions: list[tuple[Table[int], dict[str, int]]] = []
    for changes in history:
        table = table.replace(changes)
        merged = {**expected, **changes}
        expected = {name: value for name, value in merged.items() if value is not None}
        versions.append((table, expected))
        if read:
            assert dict(table.items()) == expected
    for old, then in versions:
        assert {name: old.get(name) for name in "abcdef"} == {n: then.get(n) for n in "abcdef"}
        assert dict(old) == then
        assert len(old) == len(then)
        assert sorted(old.values()) == sorted(then.values())


def test_a_long_history_of_small_changes_is_folded_in() -> None:
    table: Table[int] = Table()
    for number in range(3 * PATCH):
        table = table.replace({str(number): number})
    assert dict(table) == {str(number): number for number in range(3 * PATCH)}


def test_a_removed_name_is_absent() -> None:
    table = Table({"a": 1}).replace({"a": None})
    assert "a" not in table
    with pytest.raises(KeyError):
        table["a"]
