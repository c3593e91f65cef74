"""The demo's story, told to the real examples without a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from meltemi.controller.offline import compile_everything, read_path
from meltemi.controller.settings import Settings
from meltemi.demo.backends import PASSWORD
from meltemi.demo.rig import EXAMPLES, SERVICES, copy_examples
from meltemi.demo.story import BREAK, BROKEN_CODE, FIX, PREFIX, STEPS, Edit
from meltemi.protocols.problem import Severity
from meltemi.protocols.registry import load
from tests import make

if TYPE_CHECKING:
    from pathlib import Path

    from meltemi.demo.story import Step


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A copy as the demo makes it, with two ports swapped."""
    copy_examples(EXAMPLES, tmp_path / "rules", {20881: 20882, 20882: 20881})
    return tmp_path / "rules"


def save(rules: Path, step: Step) -> None:
    file = rules / step.edit.file
    file.write_text(step.edit.apply(file.read_text()))


def errors(rules: Path) -> list[str]:
    offline = read_path(rules, load(), Settings())
    compile_everything(offline)
    found = offline.findings()
    return [finding.problem.code for finding in found if finding.severity is Severity.ERROR]


def test_only_the_mistake_is_a_mistake_and_the_correction_corrects_it(rules: Path) -> None:
    told: list[list[str]] = []
    for step in (*STEPS, BREAK, FIX, PREFIX):
        save(rules, step)
        told.append(errors(rules))
    assert told == [*([] for _ in STEPS), [BROKEN_CODE], [], []]


def test_ports_are_replaced_once_even_by_each_other(rules: Path) -> None:
    service = (rules / "dubbo" / "service.yaml").read_text()
    assert service.index("20882") < service.index("20881")


def test_an_edit_of_another_text_than_the_story_s_is_refused() -> None:
    edit = Edit("rule.yaml", (("weight: 80", "weight: 10"),))
    with pytest.raises(ValueError, match=r"rule\.yaml has 'weight: 80' 2 times"):
        edit.apply("weight: 80\nweight: 80\n")


def test_the_demo_knows_the_hosts_ports_and_the_password_of_the_examples(rules: Path) -> None:
    documents = [
        document
        for file in make.rule_files(rules)
        for document in yaml.safe_load_all(file.read_text())
    ]
    entries = (each["spec"] for each in documents if each["kind"] == "ServiceEntry")
    assert {spec["hosts"][0]: spec["ports"][0]["number"] for spec in entries} == SERVICES
    (secret,) = (each for each in documents if each["kind"] == "Secret")
    assert secret["stringData"] == {"password": PASSWORD}
