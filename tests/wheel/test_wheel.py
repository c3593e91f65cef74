"""The wheel as users get it: built from the sources, installed beside xds-protos, run."""

from __future__ import annotations

import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.wheel.building import FOLDERS, ROOT, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a clean venv with the wheel and xds-protos, and nothing of the checkout."""
    venv = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", venv, cwd=venv)
    run(venv / "bin/python", "-m", "pip", "install", wheel, "xds-protos", cwd=venv)
    return venv / "bin"


def test_the_only_top_level_name_is_meltemi(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"meltemi"}


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    folders = {"meltemi": "", **dict.fromkeys(FOLDERS, "meltemi/")}
    expected = {
        f"{prefix}{path.relative_to(ROOT)}"
        for folder, prefix in folders.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == expected


@pytest.mark.parametrize("arguments", [("--help",), ("plugins",)])
def test_the_command_runs(environment: Path, arguments: tuple[str, ...]) -> None:
    assert "dubbo" in run(environment / "meltemi", *arguments, cwd=environment).lower()


def test_the_module_runs(environment: Path) -> None:
    assert "meltemi" in run(environment / "python", "-m", "meltemi", "--help", cwd=environment)


@pytest.mark.parametrize("module", ["envoy.config.core.v3.base_pb2", "xds.core.v3.cidr_pb2"])
def test_xds_protos_still_works(environment: Path, module: str) -> None:
    run(environment / "python", "-c", f"import {module}, meltemi.xds", cwd=environment)
