"""The wheel as users get it: built from the sources, installed beside xds-protos, run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[2]
FOLDERS = ("controller", "examples", "protocols", "xds")
SOURCES = ("meltemi", *FOLDERS, "pyproject.toml", "README.md", "LICENSE")


def run(*command: str | Path, cwd: Path) -> str:
    ran = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build folder left in the checkout would be packed along."""
    sources = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, sources)
    target = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", target, sources, cwd=target)
    (built,) = target.glob("*.whl")
    return built


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
