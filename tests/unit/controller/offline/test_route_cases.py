"""Files of cases: the short and the long forms, and that nothing is forgiven."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.offline.route_cases import (
    NO_TIMEOUT,
    Case,
    Expectation,
    Reading,
    Target,
    WantedRule,
    read_cases,
)
from meltemi.controller.sources import Place
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

FILE = "x.routes.yaml"


def read(text: str) -> Reading:
    return read_cases(FILE, text.encode())


def cases(text: str) -> tuple[Case, ...]:
    """Of a file without mistakes."""
    reading = read(text)
    assert reading.mistakes == ()
    return reading.cases


def expectation(expect: str) -> Expectation:
    (case,) = cases(f"- {{name: a, host: shop.example, port: 1, expect: {expect}}}")
    return case.expect


def complaints(text: str) -> list[tuple[int, str, str]]:
    """Line, cause and next step; nothing of the file is a case."""
    reading = read(text)
    assert reading.cases == ()
    return [(each.place.line, each.cause, each.next_step) for each in reading.mistakes]


def test_a_case_has_a_request_and_the_line_where_it_stands() -> None:
    text = """\
# requests
- name: all
  host: shop.example
  port: 20880
  namespace: west
  attributes: {method: hello, group: ''}
  expect: canary
"""
    assert cases(text) == (
        Case(
            name="all",
            host="shop.example",
            port=20880,
            expect=Expectation(rule=WantedRule(route="canary")),
            place=Place(FILE, 2),
            namespace="west",
            attributes={"method": "hello", "group": ""},
        ),
    )


def test_what_a_document_says_once_holds_for_cases_that_do_not_say_otherwise() -> None:
    text = """\
host: shop.example
port: 20880
namespace: west
cases:
  - {name: a, expect: x}
  - {name: b, host: cart.example, port: 1, namespace: east, expect: x}
---
- {name: c, host: c.example, port: 2, expect: x}
"""
    assert [(each.host, each.port, each.namespace) for each in cases(text)] == [
        ("shop.example", 20880, "west"),
        ("cart.example", 1, "east"),
        ("c.example", 2, None),
    ]


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("canary", WantedRule(route="canary")),
        ("shop/canary", WantedRule(name="shop", route="canary")),
        ("west/shop/canary", WantedRule(namespace="west", name="shop", route="canary")),
        ("west/shop/a/b", WantedRule(namespace="west", name="shop", route="a/b")),
        ("{kind: MetaRouter}", WantedRule(kind="MetaRouter")),
        ("{route: a/b}", WantedRule(route="a/b")),
    ],
)
def test_a_rule_may_be_named_as_shortly_as_it_is_clear(written: str, wanted: WantedRule) -> None:
    assert expectation(f"{{rule: {written}}}") == Expectation(rule=wanted)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("v2", Target("shop.example", None, "v2")),
        ("cart.example", Target("cart.example")),
        ("cart:80", Target("cart", 80)),
        ("cart/v2", Target("cart", None, "v2")),
        ("cart.example:80/v2", Target("cart.example", 80, "v2")),
        ("cart.example/", Target("cart.example", None, "")),
    ],
)
def test_a_destination_may_be_a_subset_a_host_a_port_or_all_of_it(
    written: str, wanted: Target
) -> None:
    assert expectation(f"{{to: '{written}'}}").destinations == (wanted,)
    assert expectation(f"{{destinations: ['{written}']}}").destinations == (wanted,)
    assert expectation(f"{{mirrors: ['{written}']}}").mirrors == (wanted,)
    weighted = wanted._replace(share=20)
    assert expectation(f"{{to: {{'{written}': 20}}}}").destinations == (weighted,)


def test_the_long_forms_say_what_they_compare() -> None:
    expected = expectation("{destinations: [{weight: 80}], mirrors: [{port: 1, percentage: 12.5}]}")
    assert expected == Expectation(
        destinations=(Target(share=80),), mirrors=(Target(port=1, share=12.5),)
    )


def test_no_mirror_is_something_that_can_be_expected() -> None:
    assert expectation("{mirrors: []}") == Expectation(mirrors=())


@pytest.mark.parametrize(
    ("written", "wanted"), [("2s", 2.0), ("250ms", 0.25), ("1.5", 1.5), ("none", NO_TIMEOUT)]
)
def test_a_timeout_is_a_duration_or_seconds_or_none(written: str, wanted: float | str) -> None:
    assert expectation(f"{{timeout: {written}}}") == Expectation(timeout=wanted)


BEGIN = "- name: a\n  host: shop.example\n  port: 1\n"


@pytest.mark.parametrize(
    ("text", "line", "cause", "next_step"),
    [
        (
            f"{BEGIN}  expect: x\n  expects: x\n",
            5,
            "expects is no known field",
            "did you mean expect?",
        ),
        (f"{BEGIN}", 1, "expect is required", "add expect"),
        ("- name: a\n  port: 1\n  expect: x\n", 1, "host is required", "add host"),
        ("- name: a\n  host: b\n  expect: x\n", 1, "port is required", "add port"),
        (f"{BEGIN}  expect:\n", 4, "expect has no value", "give it one, or remove it"),
        (f"{BEGIN}  expect: {{rule: ~}}\n", 4, "rule has no value", "give it one"),
        (f"{BEGIN}  expect: {{}}\n", 4, "expect says nothing", "name a route"),
        (f"{BEGIN}  expect: {{rule: {{}}}}\n", 4, "rule says nothing", "name a route"),
        (f"{BEGIN}  expect: shop//x\n", 4, "'shop//x' names no route", "namespace/name/route"),
        (f"{BEGIN}  expect: ''\n", 4, "'' names no route", "write route"),
        (f"{BEGIN}  expect: {{outcome: rout}}\n", 4, "'rout' is no outcome", "mean route?"),
        (f"{BEGIN}  expect: {{outcome: x}}\n", 4, "'x' is no outcome", "route, default, error"),
        (f"{BEGIN}  expect: {{timeout: soon}}\n", 4, "'soon' is no duration", "such as 1.5s"),
        (f"{BEGIN}  expect: {{to: 'a:0'}}\n", 4, "'a:0' is no destination", "write subset"),
        (f"{BEGIN}  expect: {{to: 'a:b'}}\n", 4, "'a:b' is no destination", "write subset"),
        (f"{BEGIN}  expect: {{to: '/v1'}}\n", 4, "'/v1' is no destination", "write subset"),
        (f"{BEGIN}  expect: {{to: ''}}\n", 4, "'' is no destination", "write subset"),
        (f"{BEGIN}  expect: {{to: {{v1: 101}}}}\n", 4, "to[v1]: expected an integer", "correct"),
        (f"{BEGIN}  expect: {{to: v1, destinations: []}}\n", 4, "to is short for", "only one"),
        (f"{BEGIN}  expect: x\n  attributes: {{v: 1.0}}\n", 5, "attributes[v]", "in quotes"),
        (f"{BEGIN}  expect: x\n  attributes: {{v: true}}\n", 5, "attributes[v]", "in quotes"),
        (f"{BEGIN}  expect: x\n  attributes: {{v: {{}}}}\n", 5, "attributes[v]", "correct the"),
        ("- {name: a, host: b, port: 0, expect: x}\n", 1, "port: expected an integer", "correct"),
        ("\n- x\n", 2, "expected a mapping, got a string", "correct"),
        ("\n- \n", 2, "[0] has no value", "give it one"),
        ("x\n", 1, "it is no list of cases", "write `- name: ...`"),
        ("host: x\n", 1, "cases is required", "add cases"),
        ("port: ~\ncases: []\n", 1, "port has no value", "remove it"),
        ("host: x\ncases:\n", 2, "cases has no value", "give it one"),
        ("hots: x\ncases: []\n", 1, "hots is no known field", "did you mean host?"),
        ("a: ]\n", 1, "did not find expected", "correct the syntax"),
        ("# nothing\n", 0, "it holds no case", "add one"),
        ("[]\n", 0, "it holds no case", "add one"),
        ("apiVersion: v1\nkind: Pod\n", 1, "it is an object of a cluster", "move it"),
    ],
)
def test_a_mistake_has_its_line_its_cause_and_what_to_do(
    text: str, line: int, cause: str, next_step: str
) -> None:
    ((found_line, found_cause, found_step),) = complaints(text)
    assert found_line == line
    assert cause in found_cause
    assert next_step in found_step


def test_a_mistake_in_one_case_leaves_the_others() -> None:
    good = "{name: %s, host: h, port: 1, expect: x}"
    reading = read(f"- {good % 'a'}\n- {{name: b}}\n- {good % 'c'}\n")
    assert [case.name for case in reading.cases] == ["a", "c"]
    assert [mistake.place for mistake in reading.mistakes] == [Place(FILE, 2)]


def test_a_broken_document_leaves_those_after_it() -> None:
    reading = read("a: [\n---\n- {name: a, host: h, port: 1, expect: x}\n")
    assert ([case.name for case in reading.cases], len(reading.mistakes)) == (["a"], 1)


def test_mistakes_are_told_in_the_order_of_the_lines() -> None:
    text = "- {name: a}\n- {nam: b}\n---\nx\n---\na: ]\n"
    lines = [line for line, _, _ in complaints(text)]
    assert lines == sorted(lines)
    assert {1, 2, 4, 6} <= set(lines)


def test_two_cases_of_one_name_are_a_mistake_of_the_second() -> None:
    case = "- {name: a, host: h, port: 1, expect: x}\n"
    (mistake,) = read(f"{case}{case}").mistakes
    assert (mistake.place.line, mistake.cause) == (2, "line 1 has a case 'a', too")


def test_a_file_that_cannot_be_read_is_a_mistake() -> None:
    problem = Problem("MEL0101", Ref("File", "", FILE), "it cannot be read", "make it readable")
    (mistake,) = read_cases(FILE, problem).mistakes
    assert (mistake.place, mistake.cause) == (Place(FILE), "it cannot be read")


def test_a_file_that_went_holds_no_case() -> None:
    (mistake,) = read_cases(FILE, None).mistakes
    assert mistake.cause == "it holds no case"


def test_nesting_as_deep_as_json_allows_is_only_a_mistake() -> None:
    deep = f'{{"cases": {"[" * 900}null{"]" * 900}}}'
    assert read(deep).mistakes


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 2**40)
    | st.sampled_from(["", "v1", "a.b:1/c", "/"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["v1", "host", "port", "route", "weight"]), inner)
    ),
    max_leaves=4,
)
EXPECTATIONS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("rule", "to", "destinations", "mirrors", "timeout"), ANYTHING)
)
WRITTEN = st.fixed_dictionaries(
    {"name": st.just("a") | ANYTHING, "host": st.just("h") | ANYTHING, "port": st.just(1)},
    optional={"expect": EXPECTATIONS | ANYTHING, "attributes": ANYTHING},
)


@given(st.lists(WRITTEN, min_size=1, max_size=2))
def test_whatever_is_written_is_a_case_or_a_mistake(written: list[object]) -> None:
    reading = read(json.dumps({"cases": written}))
    assert reading.cases or reading.mistakes
    assert len(reading.cases) == len(written) or reading.mistakes
