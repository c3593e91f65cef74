"""docs/tutorial.md, followed to the letter by somebody who has nothing but this wheel."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.ports import free_ports
from tests.pages import blocks, elsewhere

if TYPE_CHECKING:
    from tests.pages import Block

pytestmark = [pytest.mark.envoy, pytest.mark.wheel]

PORTS = ("9090", "9091", "9092", "18000", "18080")
MARK = "--- the end of step"
LIMIT_S = 400
END = "EOF-OF-THE-TUTORIAL"


def script(steps: list[Block]) -> str:
    """All that the reader does, as one script of bash; a mark after each step."""
    done: list[str] = []
    for number, step in enumerate(steps):
        if step.file:
            done.append(f"mkdir -p {shlex.quote(str(Path(step.file).parent))}")
            done.append(f"cat > {shlex.quote(step.file)} <<'{END}'\n{step.text}{END}")
        elif step.language == "sh":
            done.append(step.text)
        done.append(f"echo {shlex.quote(f'{MARK} {number}')}")
    return "\n".join(done)


def follow(page: str, folder: Path, wheel: Path) -> str:
    """What the reader's shell prints. Whatever it started has ended after."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_FIND_LINKS": str(wheel.parent),
        "COLUMNS": "200",
    }
    reader = subprocess.Popen(
        ["bash", "-e", "-c", page],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = reader.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired as stuck:
        pytest.fail(f"stuck after\n{stuck.stdout!r}")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(reader.pid, signal.SIGKILL)
    assert reader.returncode == 0, printed
    return printed


def words(text: str) -> list[str]:
    """The text without its layout and lines that are drawn."""
    return [word for word in text.split() if set(word) != {"─"}]


def test_the_tutorial_does_what_it_says(wheel: Path, tmp_path: Path) -> None:
    steps = blocks("tutorial.md")
    ports: dict[str, int] = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    printed = follow(elsewhere(script(steps), ports), tmp_path, wheel)
    parts = [part.partition("\n")[2] for part in f"0\n{printed}".split(MARK)]
    expected = [number for number, step in enumerate(steps) if step.language == "text"]
    assert len(expected) >= 5
    for number in expected:
        assert words(parts[number - 1]) == words(steps[number].text)
