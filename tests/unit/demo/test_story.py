"""The demo's story, told to the real examples without a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from meltemi.controller.offline.offline import compile_everything, read_path
from meltemi.controller.settings import Settings
from meltemi.demo import brokers
from meltemi.demo.backends import PASSWORD
from meltemi.demo.rig import EXAMPLES, SERVICES, copy_examples
from meltemi.demo.story import BREAK, BROKEN_CODE, FIX, PREFIX, STEPS, Edit, move
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


def test_the_demo_knows_the_hosts_ports_and_brokers_of_the_kafka_example(tmp_path: Path) -> None:
    ports = {9192: 40001, 9292: 40002, 19093: 40003, 19094: 40004}
    rules = tmp_path / "rules"
    copy_examples(EXAMPLES, rules, ports, ("kafka",))
    mesh = read_path(rules, load(), Settings()).mesh
    services = {host: found[0] for host, found in mesh.services.items()}
    assert {host: each.ports[0].number for host, each in services.items()} == brokers.SERVICES
    kafka = services[brokers.HOST].kafka
    assert kafka is not None
    assert [each.advertised for each in kafka.brokers] == [
        ("127.0.0.1", 40003),
        ("127.0.0.1", 40004),
    ]


def test_a_broker_that_moves_has_another_endpoint_and_nothing_else_changes(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    copy_examples(EXAMPLES, rules, {9292: 40002}, ("kafka",))
    before = read_path(rules, load(), Settings()).mesh
    save(rules, move(40002, 40009))
    after = read_path(rules, load(), Settings()).mesh
    assert after.services == before.services
    (endpoint,) = after.endpoints["default", f"broker-{brokers.MOVES}.{brokers.HOST}"]
    assert list(endpoint.ports.values()) == [40009]
