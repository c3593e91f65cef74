"""The examples: sound on their own and together, and as their READMEs tell them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from meltemi.cli.app import app
from meltemi.controller.nodes import profile
from meltemi.controller.offline.offline import Offline, compile_everything, read_path
from meltemi.controller.offline.presets import preset
from meltemi.controller.settings import Settings
from meltemi.protocols.registry import load

EXAMPLES = Path(__file__).parents[2] / "examples"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
RUNNER = CliRunner()
LISTENERS = {
    "dubbo": {"orders.example_20880"},
    "thrift": {"catalog.example_9090"},
    "redis": {"sessions.example_6379", "sessions-next.example_6380"},
    "kafka": {
        "kafka.example_19092",
        "broker-1.kafka.example_19093",
        "broker-2.kafka.example_19094",
    },
    "tcp": {"ledger.default.svc.cluster.local_7000"},
}
EXPECTED_FINDINGS = {"dubbo": [], "thrift": [], "redis": ["MEL0405"], "kafka": [], "tcp": []}


def looked_at(path: Path) -> Offline:
    offline = read_path(path, load(), Settings())
    compile_everything(offline)
    return offline


def codes(offline: Offline) -> list[str]:
    return [finding.problem.code for finding in offline.findings()]


def listeners(offline: Offline) -> set[str]:
    """What an Envoy on this machine listens with."""
    group = offline.group(profile(preset(), offline.registry).group)
    return set(group.snapshot.of_type(LISTENER))


def test_every_folder_is_known_here() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == LISTENERS.keys() == EXPECTED_FINDINGS.keys()


@pytest.mark.parametrize("folder", LISTENERS)
def test_a_story_has_no_finding_but_the_one_that_it_tells_of(folder: str) -> None:
    assert codes(looked_at(EXAMPLES / folder)) == EXPECTED_FINDINGS[folder]


@pytest.mark.parametrize("folder", LISTENERS)
def test_a_story_becomes_a_listener_for_each_host(folder: str) -> None:
    assert listeners(looked_at(EXAMPLES / folder)) == LISTENERS[folder]


def test_all_stories_can_be_served_together_on_one_address() -> None:
    offline = looked_at(EXAMPLES)
    assert listeners(offline) == set[str]().union(*LISTENERS.values())
    assert codes(offline) == ["MEL0405"]


@pytest.mark.parametrize("folder", [*LISTENERS, "."])
def test_the_cases_of_a_story_hold_and_reach_all_of_its_routes(folder: str) -> None:
    result = RUNNER.invoke(app, ["test", str(EXAMPLES / folder), "--min-coverage", "100"])
    assert (result.exit_code, result.stderr) == (0, ""), result.stdout


def told_of(folder: str) -> dict[str, Any]:
    """``routes`` or ``redis`` of the folder's first rule; a whole KafkaCluster."""
    if folder == "kafka":
        cluster = yaml.safe_load((EXAMPLES / folder / "cluster.yaml").read_text())
        return dict(cluster["spec"])
    documents = yaml.safe_load_all((EXAMPLES / folder / "routes.yaml").read_text())
    specs = (document["spec"] for document in documents)
    return next({key: spec[key]} for spec in specs for key in ("routes", "redis") if key in spec)


@pytest.mark.parametrize("folder", LISTENERS)
def test_a_readme_shows_the_rule_that_is_in_the_file(folder: str) -> None:
    readme = (EXAMPLES / folder / "README.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert yaml.safe_load(shown) == told_of(folder)
