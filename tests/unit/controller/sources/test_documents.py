"""Files become documents; what is broken is told with its line and hides nothing else."""

from __future__ import annotations

from textwrap import dedent

import pytest

from meltemi.controller.sources.documents import (
    MAX_DOCUMENT,
    Broken,
    Document,
    Position,
    read_documents,
)


def read(text: str | bytes) -> list[Document | Broken]:
    content = text if isinstance(text, bytes) else dedent(text).encode()
    return read_documents("f.yaml", content)


def values(text: str) -> list[object]:
    entries = read(text)
    assert all(isinstance(entry, Document) for entry in entries), entries
    return [entry.value for entry in entries if isinstance(entry, Document)]


def broken(text: str | bytes) -> Broken:
    (entry,) = read(text)
    assert isinstance(entry, Broken)
    return entry


def document(text: str) -> Document:
    (entry,) = read(text)
    assert isinstance(entry, Document)
    return entry


def test_a_file_may_hold_several_documents_and_empty_ones_count_for_nothing() -> None:
    assert values("# head\n---\na: 1\n---\n---\n# nothing\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


def test_a_broken_document_does_not_hide_its_neighbours() -> None:
    first, second, third = read("a: 1\n---\nb: [\n---\nc: 3\n")
    assert isinstance(first, Document)
    assert isinstance(third, Document)
    assert isinstance(second, Broken)
    assert second.problem.code == "MEL0101"
    assert (third.value, third.line()) == ({"c": 3}, 5)


def test_a_syntax_error_is_told_with_its_line_in_the_file() -> None:
    _, entry = read("a: 1\n---\nb: 1\nc: d: e\n")
    assert isinstance(entry, Broken)
    assert entry.line == 4
    assert entry.problem.cause == "mapping values are not allowed in this context"


@pytest.mark.parametrize(
    ("text", "next_step"),
    [
        ("apiVersion: v1\nkind: A\napiVersion: v1\nkind: B\n", "write --- between two objects"),
        ("kind: A\nspec: 1\nkind: B\n", "write --- between two objects"),
        ("spec: {kind: A, kind: B}\n", "remove one of them"),
        ("a: 1\na: 2\n", "remove one of them"),
    ],
)
def test_files_that_were_joined_without_a_separator_are_told_what_is_missing(
    text: str, next_step: str
) -> None:
    (entry,) = read(text)
    assert isinstance(entry, Broken)
    assert entry.problem.next_step == next_step


def test_positions_order_documents_by_path_then_place() -> None:
    entries = read("a: 1\n---\nkind: List\nitems: [{b: 1}, {c: 1}]\n")
    assert [entry.position for entry in entries] == [
        Position("f.yaml", 0, 0),
        Position("f.yaml", 1, 0),
        Position("f.yaml", 1, 1),
    ]


def test_a_list_stands_for_its_items_with_their_own_lines() -> None:
    entries = read("kind: List\nitems:\n- a: 1\n- b:\n    c: 1\n")
    assert [entry.value for entry in entries if isinstance(entry, Document)] == [
        {"a": 1},
        {"b": {"c": 1}},
    ]
    last = entries[1]
    assert isinstance(last, Document)
    assert (last.line(), last.line("b.c")) == (4, 5)


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("", 4),
        ("spec", 5),
        ("spec.routes[1].match", 9),
        ("spec.routes[1].match.attributes[user-id]", 10),
        ("spec.routes[1].route", 8),  # absent: what it should stand in
        ("spec.routes[7].match", 6),
        ("status", 4),
    ],
)
def test_a_field_path_has_a_line(field: str, line: int) -> None:
    text = """\
        # a comment

        ---
        kind: X
        spec:
          routes:
          - name: a
          - name: b
            match:
              attributes: {user-id: {exact: x}}
        """
    assert document(text).line(field) == line


def test_scalars_have_the_types_of_json_and_words_stay_words() -> None:
    text = """\
        a: [yes, on, n, 2001-01-01, 1:30, 1_000, .inf, 1e400]
        b: [true, FALSE, null, ~, 7, -7, 0x10, 0o17, 017, 1.5, 1e3]
        c: ['1', "true", !!str 1]
        """
    assert values(text) == [
        {
            "a": ["yes", "on", "n", "2001-01-01", "1:30", "1_000", ".inf", "1e400"],
            "b": [True, False, None, None, 7, -7, 16, 15, 15, 1.5, 1000.0],
            "c": ["1", "true", "1"],
        }
    ]


def test_keys_are_strings_as_in_json() -> None:
    assert values("1: a\ntrue: b\n") == [{"1": "a", "true": "b"}]


def test_anchors_aliases_and_merges_work() -> None:
    text = """\
        x: &x {a: 1, b: 2}
        y: *x
        z: {<<: *x, b: 3}
        """
    assert values(text) == [{"x": {"a": 1, "b": 2}, "y": {"a": 1, "b": 2}, "z": {"a": 1, "b": 3}}]


def test_aliases_cannot_multiply_without_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert "500000" in broken("\n".join(lines)).problem.cause


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "{a: " * 80 + "}" * 80])
def test_depth_is_bounded(text: str) -> None:
    assert "64 levels" in broken(text).problem.cause


def test_an_alias_cannot_contain_itself() -> None:
    assert "no complete value" in broken("a: &a [*a]").problem.cause


def test_a_key_that_stands_there_twice_is_an_error_on_its_line() -> None:
    entry = broken("spec:\n  weight: 1\n  weight: 2\n")
    assert (entry.line, "'weight'" in entry.problem.cause) == (3, True)


def test_tags_cannot_make_objects() -> None:
    assert "not allowed" in broken("!!python/object/apply:os.system [true]").problem.cause


def test_a_file_that_is_not_utf8_is_told_with_its_line() -> None:
    entry = broken(b"a: 1\nb: \xff\n")
    assert (entry.problem.code, entry.line) == ("MEL0108", 2)


def test_a_control_character_is_an_error_on_its_line() -> None:
    entry = broken("a: 1\nb: \x07\n")
    assert (entry.problem.code, entry.line) == ("MEL0101", 2)


def test_a_byte_order_mark_is_no_content() -> None:
    assert values("\ufeffa: 1\n") == [{"a": 1}]


def test_a_document_above_the_limit_is_refused_and_its_neighbour_is_read() -> None:
    large, small = read("a: " + "x" * MAX_DOCUMENT + "\n---\nb: 1\n")
    assert isinstance(large, Broken)
    assert large.problem.code == "MEL0107"
    assert isinstance(small, Document)


def test_json_may_be_indented_by_tabs_and_keeps_its_lines() -> None:
    entry = document('{\n\t"a": 1,\n\t"b": {"c": 1}\n}\n')
    assert (entry.value, entry.line("b.c")) == ({"a": 1, "b": {"c": 1}}, 3)


def test_json_may_spell_characters_as_surrogate_pairs() -> None:
    assert values('{"a": "\\ud83d\\ude00"}') == [{"a": "\U0001f600"}]


@pytest.mark.parametrize("text", ['{"a": 1,\n "a": 2}', '{\n\t"b": 1, "b": 2}', '{"a": NaN,}{'])
def test_json_is_as_strict_as_yaml(text: str) -> None:
    assert broken(text).problem.code == "MEL0101"


@pytest.mark.parametrize("path", ["a.yaml", "b/c.json"])
def test_what_is_wrong_with_a_file_is_about_that_file(path: str) -> None:
    (entry,) = read_documents(path, b"[")
    assert isinstance(entry, Broken)
    assert (entry.problem.about.kind, entry.problem.about.name) == ("File", path)
