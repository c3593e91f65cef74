"""The repository's own shape: what is packaged, and which name belongs to whom."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("controller", "examples", "protocols", "xds")


def packages_in(folder: str) -> set[str]:
    inits = (ROOT / folder).rglob("__init__.py")
    return {".".join(init.parent.relative_to(ROOT).parts) for init in inits}


def test_every_package_is_listed_for_the_wheel() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = packages_in("meltemi") | {"meltemi.examples"}
    for folder in FOLDERS:
        found |= {f"meltemi.{package}" for package in packages_in(folder)}
    assert table["packages"] == sorted(found)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_import_package_links_to_the_folder(folder: str) -> None:
    assert (ROOT / "meltemi" / folder).resolve() == ROOT / folder


def run_in_root(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_folder_xds_steps_aside_for_xds_protos() -> None:
    ran = run_in_root("import envoy.config.core.v3.base_pb2, xds.core.v3.cidr_pb2")
    assert ran.returncode == 0, ran.stderr


def test_our_modules_cannot_be_imported_under_the_name_xds() -> None:
    ran = run_in_root("import xds.resource")
    assert "No module named 'xds.resource'" in ran.stderr


@pytest.mark.parametrize("module", ["model", "problem"])
def test_what_users_build_in_a_repl_needs_the_standard_library_only(module: str) -> None:
    tree = ast.parse((ROOT / "protocols" / f"{module}.py").read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in imports_of(node)
        if name != "meltemi.protocols.model"
    }
    assert imported <= sys.stdlib_module_names


def imports_of(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
        case _:
            return []
