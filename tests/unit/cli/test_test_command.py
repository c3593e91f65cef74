"""``meltemi test``: which files it takes, what it says, in which format, with which exit code."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING
from xml.etree import ElementTree as Xml

import pytest
import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command import Run

HEAD = "host: orders.example\nport: 20880\ncases:\n"
PASSES = "- {name: it passes, attributes: {method: refund}, expect: refunds}\n"
FAILS = "- {name: it fails, attributes: {method: refund}, expect: canary}\n"
WRONG = "- {name: it is wrong, expect: canary, hots: x}\n"


@pytest.fixture
def rules(tmp_path: Path, examples: Path) -> Path:
    """The Dubbo story, without its cases."""
    folder = tmp_path / "rules"
    shutil.copytree(examples / "dubbo", folder)
    (folder / "orders.routes.yaml").unlink()
    return folder


def write(folder: Path, *cases: str, name: str = "x.routes.yaml") -> Path:
    """A file of cases."""
    file = folder / name
    file.write_text(HEAD + "".join(cases))
    return file


def test_a_folder_is_tested_by_all_files_of_cases_below_it(run: Run, rules: Path) -> None:
    (rules / "sub").mkdir()
    write(rules, PASSES)
    write(rules / "sub", PASSES.replace("it", "another"), name="y.routes.yml")
    write(rules, FAILS, name=".hidden.routes.yaml")
    result = run("test", rules)
    assert result.exit_code == 0
    first, second, *_, last = result.stdout.splitlines()
    assert [first, second] == ["ok      another passes", "ok      it passes"]
    assert last == "2 passed; 1 of 2 routes reached (50 %)"


def test_one_file_of_cases_is_put_to_the_rules_of_its_folder(run: Run, rules: Path) -> None:
    write(rules, FAILS, name="other.routes.yaml")
    result = run("test", write(rules, PASSES))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "it passes" in result.stdout
    assert "it fails" not in result.stdout


def test_a_failure_says_where_it_is_what_differs_and_which_routes_were_considered(
    run: Run, rules: Path
) -> None:
    file = write(rules, PASSES, FAILS)
    result = run("test", rules)
    assert result.exit_code == 1
    assert "FAILED  it fails\n" in result.stdout
    assert f"{file}:5\n" in result.stdout
    assert "rule.route: expected canary, got refunds\n" in result.stdout
    assert re.search(r"spec\.routes\[0\] \(refunds\) +yes +method is 'refund'", result.stdout)


def test_a_route_that_no_case_reaches_is_told_with_its_line(run: Run, rules: Path) -> None:
    write(rules, PASSES)
    result = run("test", rules)
    line = (
        (rules / "routes.yaml")
        .read_text()
        .splitlines()
        .index("    - name: canary # everything else")
    )
    where = re.escape(f"{rules / 'routes.yaml'}:{line + 1}")
    assert re.search(
        rf"MetaRouter default/orders spec\.routes\[1\] \(canary\) +{where}", result.stdout
    )


@pytest.mark.parametrize(("minimum", "code"), [("50", 0), ("50.5", 1), ("0", 0), ("100", 1)])
def test_too_few_routes_reached_are_a_failure_where_asked_for(
    run: Run, rules: Path, minimum: str, code: int
) -> None:
    write(rules, PASSES)
    result = run("test", rules, "--min-coverage", minimum)
    assert result.exit_code == code
    assert (f"less than {minimum} %" in result.stdout) == (code == 1)


def test_a_case_that_cannot_be_read_is_worse_than_one_that_fails(run: Run, rules: Path) -> None:
    file = write(rules, PASSES, FAILS, WRONG)
    result = run("test", rules)
    assert result.exit_code == 2
    assert f"ERROR   {file}:6: cases[2].hots is no known field; did you mean host?\n" in (
        result.stdout
    )
    assert "1 passed, 1 failed, 1 mistake; " in result.stdout


def test_the_namespace_of_clients_may_be_given(run: Run, rules: Path) -> None:
    host = "host: shop\nport: 80\ncases:\n- {name: a, expect: {outcome: default}}\n"
    (rules / "x.routes.yaml").write_text(host)
    (rules / "shop.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: west}\n"
        "spec: {ports: [{name: tcp, port: 80}]}\n"
    )
    assert run("test", rules, "--namespace", "west").exit_code == 0
    assert run("test", rules).exit_code == 1


def test_another_proxy_may_decide_otherwise(run: Run, rules: Path, tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text('{"id": "bare"}')
    write(rules, PASSES)
    assert run("test", rules, "--node", tmp_path / "node.json").exit_code == 1
    assert run("test", rules, "--preset", "envoy-1.40").exit_code == 0
    assert run("test", rules, "--preset", "envoy-0.1").exit_code == 2


def test_programs_get_everything(run: Run, rules: Path) -> None:
    file = write(rules, FAILS, WRONG)
    told = json.loads(run("test", rules, "-o", "json").stdout)
    assert told["passed"] == 0
    assert told["failed"] == 1
    assert told["cases"] == [
        {
            "name": "it fails",
            "file": str(file),
            "line": 4,
            "host": "orders.example",
            "port": 20880,
            "namespace": None,
            "attributes": {"method": "refund"},
            "passed": False,
            "error": "",
            "differences": [
                {"field": "rule.route", "expected": "canary", "actual": "refunds", "hint": ""}
            ],
            "considered": [
                {
                    "rule": "MetaRouter default/orders spec.routes[0] (refunds)",
                    "matched": True,
                    "reason": "method is 'refund'",
                }
            ],
        }
    ]
    assert [(each["file"], each["line"], each["field"]) for each in told["mistakes"]] == [
        (str(file), 5, "cases[1].hots"),
    ]
    (unreached,) = told["coverage"].pop("unreached")
    assert told["coverage"] == {"routes": 2, "reached": 1, "percent": 50.0, "minimum": None}
    assert (unreached["kind"], unreached["name"], unreached["route"], unreached["field"]) == (
        "MetaRouter",
        "orders",
        "canary",
        "spec.routes[1]",
    )
    assert unreached["file"] == str(rules / "routes.yaml")
    assert yaml.safe_load(run("test", rules, "-o", "yaml").stdout)["cases"] == told["cases"]


def test_a_share_that_is_not_whole_is_rounded_down(run: Run, rules: Path) -> None:
    more = "---\n" + (rules / "routes.yaml").read_text().replace("name: orders", "name: other")
    (rules / "other.yaml").write_text(more.partition("    - name: canary")[0])
    canary = "- {name: b, attributes: {method: a}, expect: canary}\n"
    write(rules, PASSES, canary)
    assert json.loads(run("test", rules, "-o", "json").stdout)["coverage"]["percent"] == 66.66


def test_junit_has_a_suite_for_each_file_and_one_for_the_coverage(run: Run, rules: Path) -> None:
    file = write(rules, PASSES, FAILS)
    other = write(rules, WRONG, name="y.routes.yaml")
    result = run("test", rules, "-o", "junit", "--min-coverage", "51")
    root = Xml.fromstring(result.stdout)
    assert result.exit_code == 2
    counts = [(s.get("name"), s.get("tests"), s.get("failures"), s.get("errors")) for s in root]
    assert counts == [
        (str(file), "2", "1", "0"),
        (str(other), "1", "0", "1"),
        ("rule coverage", "1", "1", "0"),
    ]
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("4", "2", "1")
    passed, failed = root[0]
    assert (passed.get("name"), len(passed)) == ("it passes", 0)
    assert (failed.get("name"), failed.get("file"), failed.get("line")) == (
        "it fails",
        str(file),
        "5",
    )
    assert failed[0].get("message") == "rule.route: expected canary, got refunds"
    assert "(refunds): matched, method is 'refund'" in (failed[0].text or "")
    assert "(canary)" in (root[2][0][0].text or "")


def test_junit_without_a_minimum_has_no_opinion_on_coverage(run: Run, rules: Path) -> None:
    write(rules, PASSES)
    root = Xml.fromstring(run("test", rules, "-o", "junit").stdout)
    assert [suite.get("failures") for suite in root] == ["0"]


def test_junit_is_xml_whatever_a_case_is_called(run: Run, rules: Path) -> None:
    case = '{"name": "<\\u0000&\\ud800\\"", "attributes": {"method": "x"}, "expect": "canary"}'
    text = f'{{"host": "orders.example", "port": 20880, "cases": [{case}]}}'
    (rules / "x.routes.yaml").write_text(text)
    root = Xml.fromstring(run("test", rules, "-o", "junit").stdout)
    assert root[0][0].get("name") == '<\ufffd&\ufffd"'


def test_github_gets_an_annotation_for_each_failure_and_mistake(run: Run, rules: Path) -> None:
    file = write(rules, FAILS.replace("it fails", '"it, fails: 100%"'), WRONG)
    result = run("test", rules, "-o", "github")
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[0] == (
        f"::error file={file},line=4,title=it%2C fails%3A 100%25"
        "::rule.route: expected canary, got refunds"
    )
    assert lines[1] == (
        f"::error file={file},line=5,title=mistake in a case"
        "::cases[1].hots is no known field; did you mean host?"
    )
    assert lines[-1] == "0 passed, 1 failed, 1 mistake; 1 of 2 routes reached (50 %)"


def test_several_differences_are_one_annotation(run: Run, rules: Path) -> None:
    expect = "{rule: canary, timeout: none}"
    write(rules, FAILS.replace("expect: canary", f"expect: {expect}"))
    first = run("test", rules, "-o", "github").stdout.splitlines()[0]
    assert first.endswith("got refunds%0Atimeout: expected none, got 2 s")


@pytest.mark.parametrize(("minimum", "level"), [("50", "notice"), ("51", "error")])
def test_what_no_case_reaches_is_a_notice_until_more_is_asked_for(
    run: Run, rules: Path, monkeypatch: pytest.MonkeyPatch, minimum: str, level: str
) -> None:
    write(rules, PASSES)
    monkeypatch.chdir(rules)
    told = run("test", ".", "-o", "github", "--min-coverage", minimum).stdout.splitlines()
    assert re.fullmatch(
        rf"::{level} file=routes\.yaml,line=\d+,title=rule coverage"
        r"::no case reaches MetaRouter default/orders spec\.routes\[1\] \(canary\)",
        told[0],
    )


def test_rules_that_cannot_be_read_are_pointed_to(run: Run, rules: Path) -> None:
    write(rules, PASSES)
    (rules / "broken.yaml").write_text("a: [\n")
    result = run("test", rules)
    assert (result.exit_code, result.stderr) == (0, f"1 error: see `meltemi validate {rules}`\n")


def test_cases_are_no_rules_for_the_other_commands(run: Run, rules: Path) -> None:
    before = run("validate", rules).stdout
    write(rules, PASSES)
    assert run("validate", rules).stdout == before


def test_what_cannot_be_tested_is_a_sentence(run: Run, rules: Path) -> None:
    for path, complaint in {
        rules: f"{rules}: there is no file named *.routes.yaml",
        rules / "nothing": f"{rules / 'nothing'}: there is no such file or folder",
        rules / "routes.yaml": (
            f"{rules / 'routes.yaml'}: give the folder of the rules, or a file named *.routes.yaml"
        ),
    }.items():
        result = run("test", path)
        assert (result.exit_code, result.stderr) == (2, f"meltemi: {complaint}\n")
        assert not result.stdout


@pytest.mark.parametrize("option", [("--min-coverage", "101"), ("-o", "xml"), ("--node", "x")])
def test_wrong_usage_is_told(run: Run, rules: Path, option: tuple[str, str]) -> None:
    write(rules, PASSES)
    assert run("test", rules, *option).exit_code == 2
