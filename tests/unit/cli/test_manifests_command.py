"""``meltemi manifests``: what a cluster needs for Meltemi."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from meltemi.controller.crds.definitions import DEFINITIONS

if TYPE_CHECKING:
    from tests.command import Run

ROOT = Path(__file__).parents[3]
KNOWN = {"--help", "--output"}


def test_definitions_are_printed_as_documents_for_kubectl(run: Run) -> None:
    found = list(yaml.safe_load_all(run("manifests", "crds").stdout))
    assert [each["kind"] for each in found] == ["CustomResourceDefinition"] * len(DEFINITIONS)
    names = [each["metadata"]["name"] for each in found]
    assert "metarouters.metaprotocol.aeraki.io" in names
    assert len(set(names)) == len(names)


def test_an_unknown_name_is_answered_with_what_there_is(run: Run) -> None:
    result = run("manifests", "crd")
    assert result.exit_code == 2
    there_are = "crds or rbac or webhook or deployment or all"
    assert result.stderr == f"meltemi: there are no manifests 'crd': write {there_are}\n"


def test_without_a_name_it_says_what_there_is(run: Run) -> None:
    result = run("manifests")
    assert result.exit_code == 2
    assert "crds" in result.output


def test_all_is_every_part_in_the_order_in_which_it_is_applied(run: Run) -> None:
    parts = [run("manifests", part).stdout for part in ("crds", "rbac", "webhook", "deployment")]
    assert run("manifests", "all").stdout == "".join(parts)


def test_json_is_one_list_of_the_same_objects(run: Run) -> None:
    found = json.loads(run("manifests", "all", "-o", "json").stdout)
    assert (found["apiVersion"], found["kind"]) == ("v1", "List")
    assert found["items"] == [*yaml.safe_load_all(run("manifests", "all").stdout)]


def test_options_reach_the_objects(run: Run) -> None:
    options = ("--namespace", "mesh", "--image", "r/m:2", "--replicas", 3, "--tokens")
    found = json.loads(run("manifests", "deployment", "-o", "json", *options).stdout)["items"]
    deployment = found[0]
    assert deployment["metadata"]["namespace"] == "mesh"
    assert deployment["spec"]["replicas"] == 3
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "r/m:2"
    assert "--token-xds=0.0.0.0:18001" in container["args"]


@pytest.mark.parametrize(
    ("part", "options", "printed"),
    [
        ("all", (), True),
        ("all", ("--no-webhook",), False),
        ("all", ("--watch-namespace", "shop"), False),
        ("all", ("--watch-namespace", "shop", "--webhook"), True),
        ("webhook", ("--watch-namespace", "shop"), True),
    ],
)
def test_the_webhook_is_for_the_whole_cluster_unless_somebody_says(
    run: Run, part: str, options: tuple[str, ...], printed: bool
) -> None:
    text = run("manifests", part, *options).stdout
    assert ("ValidatingWebhookConfiguration" in text) == printed


def test_a_namespace_that_is_named_twice_has_one_role(run: Run) -> None:
    twice = ("--watch-namespace", "shop") * 2
    assert run("manifests", "rbac", *twice).stdout == run("manifests", "rbac", *twice[:2]).stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--secret", "redis"), "--secret is 'redis': write NAMESPACE/NAME"),
        (("--namespace", "A"), "'A' is not the name of a namespace"),
        (("--image", ""), "'' is no image: write its name as a registry has it"),
    ],
)
def test_what_cannot_be_is_told(run: Run, options: tuple[str, ...], said: str) -> None:
    result = run("manifests", "rbac", *options)
    assert (result.exit_code, said in result.stderr) == (2, True)


def test_what_the_page_on_installing_says_can_be_run(run: Run) -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    written = re.findall(r"^ *meltemi (manifests .*?)(?: \|.*)?$", page, re.MULTILINE)
    assert len(written) >= 4
    for line in written:
        assert run(*shlex.split(line)).exit_code == 0, line


def test_the_page_on_the_command_line_has_every_option(run: Run) -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    section = page.partition("\n## manifests\n")[2].partition("\n## ")[0]
    options = re.findall(r"--[a-z-]+", run("manifests", "all", "--help").stdout)
    assert [each for each in options if each not in section and each not in KNOWN] == []
