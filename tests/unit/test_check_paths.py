"""The check that keeps paths of one machine out of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.check_paths import findings, machine_path

ROOT = Path("/data/checkouts/meltemi")
MACHINE = machine_path(ROOT, Path("/var/lib/ada"))


def found(text: str, file: str = "docs/page.md") -> list[str]:
    return list(findings(ROOT, ROOT / file, text, MACHINE))


@pytest.mark.parametrize(
    "path",
    [
        "/data/checkouts/meltemi/xds",
        "/data/checkouts",
        "/var/lib/ada/.cache",
        "/" + "home/grace/notes",
        "/" + "Users/grace",
        "../" + "../elsewhere/facts.md",
    ],
)
def test_a_path_of_one_machine_is_found_with_its_line(path: str) -> None:
    (line,) = found(f"see\n[{path}]")
    assert line.startswith(f"docs/page.md:2 names {path[:9]}")


@pytest.mark.parametrize(
    "text",
    [
        "/data/checkouts-old",
        "https://example.com/home/page",
        "../README.md",
        "$HOME/.cache and /tmp/meltemi",
        "{prefix}/" + "home/x",
    ],
)
def test_other_paths_are_not(text: str) -> None:
    assert found(text) == []


def test_a_checkout_in_a_shared_place_does_not_forbid_to_name_that_place() -> None:
    machine = machine_path(Path("/tmp/meltemi"), Path("/"))
    page = Path("/tmp/meltemi/page.md")
    assert list(findings(page.parent, page, "write to /tmp/out", machine)) == []
    assert list(findings(page.parent, page, "write to /tmp/meltemi/out", machine)) != []
