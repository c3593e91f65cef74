"""The Dockerfile's own commands, in folders of this machine instead of an image's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.wheel.building import ROOT, run

pytestmark = pytest.mark.wheel

STEPS = [
    tuple(line.split(maxsplit=1))
    for line in (ROOT / "docker/Dockerfile").read_text().splitlines()
    if line and not line.startswith("#")
]


@dataclass(frozen=True, slots=True)
class Image:
    """``installed`` is what the last stage copies; ``environment`` is what its commands see."""

    installed: Path
    environment: dict[str, str]

    def files(self) -> dict[Path, float]:
        """Everything in it, and when it was written."""
        found = (path for path in self.installed.rglob("*") if path.is_file())
        return {path: path.stat().st_mtime for path in found}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """What the build stage makes."""
    root = tmp_path_factory.mktemp("image")
    source, installed = root / "source", root / "meltemi"
    source.mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "EXTRAS": ""}
    for word, rest in STEPS[: STEPS.index(("COPY", "--from=build /meltemi /meltemi"))]:
        if word == "COPY":
            copy(rest.split(), source)
        elif word == "RUN":
            command = rest.replace("/meltemi", str(installed))
            ran = subprocess.run(
                ["sh", "-c", command], cwd=source, env=environment, capture_output=True, check=False
            )
            assert ran.returncode == 0, ran.stderr.decode()
    (settings,) = (rest for word, rest in STEPS if word == "ENV")
    variables = dict(each.split("=", 1) for each in settings.split())
    variables["PATH"] = f"{installed}/bin:{os.environ['PATH']}"
    return Image(installed, variables)


def copy(names: list[str], source: Path) -> None:
    *froms, to = names
    for name in froms:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / to, symlinks=True)
        else:
            shutil.copy(ROOT / name, source / to)


def test_its_command_runs_without_the_sources(image: Image, tmp_path: Path) -> None:
    shutil.rmtree(image.installed.with_name("source"))
    variables = [f"{name}={value}" for name, value in image.environment.items()]
    shown = run("env", "-i", *variables, "meltemi", "plugins", cwd=tmp_path)
    assert "generic_proxy" in shown


def test_it_writes_nothing_where_it_is_installed(image: Image, tmp_path: Path) -> None:
    """Not even bytecode: a read-only root file system has nothing to refuse."""
    before = image.files()
    variables = [f"{name}={value}" for name, value in image.environment.items()]
    for command in ("compile", "validate"):
        run("env", "-i", *variables, "meltemi", command, ROOT / "examples/dubbo", cwd=tmp_path)
    assert image.files() == before
    assert [*tmp_path.iterdir()] == []
