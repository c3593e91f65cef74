"""How the wheel is built from the sources, and commands that must succeed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("controller", "examples", "protocols", "xds")
SOURCES = ("meltemi", *FOLDERS, "pyproject.toml", "README.md", "LICENSE")


def run(*command: str | Path, cwd: Path) -> str:
    """What the command prints."""
    ran = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def build(sources: Path, target: Path) -> Path:
    """The wheel, in the folder ``target``; from a copy in the empty folder ``sources``, because a
    build folder that was left in the checkout would be packed along.
    """
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, symlinks=True)
        else:
            shutil.copy(ROOT / name, sources)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", target, sources, cwd=target)
    (built,) = target.glob("*.whl")
    return built
