"""Which replica this is, from its pod or from settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meltemi.controller.kube.instance import OUTSIDE, Instance, instance

NOWHERE = Path("/nonexistent")


def test_a_pod_tells_its_namespace(tmp_path: Path) -> None:
    account = tmp_path / "namespace"
    account.write_text("mesh\n")
    assert instance({"M_POD_NAME": "meltemi-7c9f"}, "M_", account) == Instance(
        "meltemi-7c9f", "mesh", "meltemi"
    )


def test_processes_of_one_machine_have_names_of_their_own() -> None:
    found = instance({}, "M_", NOWHERE)
    assert found.namespace == OUTSIDE
    assert re.search(r"-\d+$", found.name)


def test_settings_come_first(tmp_path: Path) -> None:
    account = tmp_path / "namespace"
    account.write_text("mesh")
    given = {"M_POD_NAME": "a", "M_POD_NAMESPACE": "b", "M_SERVICE": "c"}
    assert instance(given, "M_", account) == Instance("a", "b", "c")


@pytest.mark.parametrize("setting", ["POD_NAME", "POD_NAMESPACE", "SERVICE"])
def test_what_is_no_name_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=f"M_{setting} is 'A_B': write a name"):
        instance({f"M_{setting}": "A_B"}, "M_", NOWHERE)
