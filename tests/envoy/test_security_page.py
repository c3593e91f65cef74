"""docs/security.md, typed as its reader types it, with a real Envoy at the end."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from shutil import which
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.envoy import Envoy
from tests.certificates import spiffe
from tests.pages import blocks, elsewhere

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy


def typed(argv: list[str]) -> str:
    """What a command prints. Fails with its complaint."""
    ran = subprocess.run(argv, capture_output=True, check=False, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.skipif(which("openssl") is None, reason="the page's authority needs openssl")
async def test_the_ten_lines_bring_an_envoy_up_over_mutual_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue, serve, connect, *_ = (block.text for block in blocks("security.md"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules").mkdir()
    typed(["bash", "-ec", issue])
    _, _, rules, _, _, *flags = shlex.split(serve)
    async with MeltemiProcess(tmp_path / rules, extra_args=flags) as meltemi:
        line = elsewhere(connect.splitlines()[0], {"18000": meltemi.xds.port})
        _, *arguments = shlex.split(line.partition(">")[0])
        made = typed([sys.executable, "-m", "meltemi", *arguments])
        async with Envoy(json.loads(made)) as envoy:
            await envoy.wait_ready()
        assert f"identity={spiffe('default')}" in meltemi.process.log_tail()
