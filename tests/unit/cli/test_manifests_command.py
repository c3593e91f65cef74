"""``meltemi manifests``: what a cluster needs for Meltemi."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from meltemi.controller.crds import DEFINITIONS

if TYPE_CHECKING:
    from tests.command import Run


def test_definitions_are_printed_as_documents_for_kubectl(run: Run) -> None:
    found = list(yaml.safe_load_all(run("manifests", "crds").stdout))
    assert [each["kind"] for each in found] == ["CustomResourceDefinition"] * len(DEFINITIONS)
    names = [each["metadata"]["name"] for each in found]
    assert "metarouters.metaprotocol.aeraki.io" in names
    assert len(set(names)) == len(names)


def test_an_unknown_name_is_answered_with_what_there_is(run: Run) -> None:
    result = run("manifests", "crd")
    assert result.exit_code == 2
    assert result.stderr == "meltemi: there are no manifests 'crd': write crds\n"


def test_without_a_name_it_says_what_there_is(run: Run) -> None:
    result = run("manifests")
    assert result.exit_code == 2
    assert "crds" in result.output
