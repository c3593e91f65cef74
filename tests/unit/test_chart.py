"""docker/helm: what can be said of the charts without helm."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from meltemi.controller.manifests import rules
from meltemi.controller.manifests.rbac import in_namespaces
from meltemi.controller.manifests.webhook import asked_about

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.manifests.rules import Rule

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "docker" / "helm"
CHART = CHARTS / "meltemi"
HEAD = (
    "# Written by tests/unit/test_chart.py --update-golden, from the tables that the code uses.\n"
)


def as_objects(found: Iterable[Rule]) -> list[Body]:
    return [rule.to_dict() for rule in found]


def generated() -> str:
    parts = {
        "own": as_objects(rules.OWN),
        "ownWebhook": as_objects([rules.CERTIFICATE]),
        "namespaces": as_objects(in_namespaces()),
        "whole": as_objects(rules.reading(namespaced=False, whole=True)),
        "events": as_objects([rules.EVENTS]),
        "cluster": as_objects(rules.reading(namespaced=False)),
        "clusterWebhook": as_objects([rules.CONFIGURATION]),
        "clusterTokens": as_objects([rules.REVIEWS]),
        "secretVerbs": [*rules.secrets(()).verbs],
        "webhook": asked_about(),
    }
    return HEAD + yaml.safe_dump(parts, sort_keys=False)


def test_the_rules_of_the_chart_are_those_of_the_code(request: pytest.FixtureRequest) -> None:
    """``--update-golden`` writes them."""
    file = CHART / "files" / "rules.yaml"
    if request.config.getoption("--update-golden"):
        file.write_text(generated())
    assert file.read_text() == generated()


@pytest.mark.parametrize("chart", ["meltemi", "meltemi-crds"])
def test_a_chart_has_the_version_of_what_it_installs(chart: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    about = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    assert (about["name"], about["version"], about["appVersion"]) == (chart, version, version)


def test_the_definitions_are_those_of_the_repository_and_stay_when_a_release_goes() -> None:
    file = CHARTS / "meltemi-crds" / "templates" / "crds.yaml"
    assert file.resolve() == ROOT / "docker" / "crds" / "crds.yaml"
    text = file.read_text()
    assert "{{" not in text, "it would be a template"
    for definition in yaml.safe_load_all(text):
        assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_every_value_is_in_the_schema_and_has_a_default() -> None:
    schema: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert schema["properties"].keys() - {"global"} == values.keys()
