"""Two versions of Meltemi on one API server, as while one replaces the other."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.standalone import standalone_envoy
from tests.churn.relay import Relay
from tests.cluster.objects import apply, router
from tests.cluster.replicas import staged, until
from tests.cluster.seen import connected, held, taken_in, total
from tests.wheel.building import run

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.cluster, pytest.mark.envoy, pytest.mark.wheel]

ROOT = Path(__file__).parents[2]
BEFORE_TAGS = "5e8585d"
"""What counts as the previous version as long as there is no tag."""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Sequence[str]:
    """What Python is told to run the wheel of the previous version."""
    if not (ROOT / ".git").exists():
        pytest.skip("there is no history to build the previous version from")
    described = _git("describe", "--tags", "--abbrev=0", "HEAD^")
    version = described.stdout.strip() if described.returncode == 0 else BEFORE_TAGS
    folder = tmp_path_factory.mktemp("previous")
    archive, sources, wheels, installed = (
        folder / each for each in ("archive.tar", "sources", "wheels", "installed")
    )
    archived = _git("archive", f"--output={archive}", version)
    if archived.returncode != 0:
        pytest.skip(f"the history does not go back to {version}")
    with tarfile.open(archive) as packed:
        packed.extractall(sources, filter="data")
    wheels.mkdir()
    pip = (sys.executable, "-m", "pip")
    run(*pip, "wheel", "--no-deps", "-w", wheels, sources, cwd=folder)
    run(*pip, "install", "--no-deps", "--target", installed, *wheels.glob("*.whl"), cwd=folder)
    start = f"import sys; sys.path.insert(0, {str(installed)!r})"
    return ("-c", f"{start}; from meltemi.__main__ import main; main()")


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)


async def test_a_proxy_moves_between_two_versions_and_back_and_notices_nothing(
    assets: Path, tmp_path: Path, previous: Sequence[str]
) -> None:
    async with staged(assets, tmp_path) as stage:
        for name in ("shop", "cart"):
            await stage.put(name)
        async with stage.replica("one", previous) as old, stage.replica("two") as new:
            relay = Relay(old.xds)
            async with relay.running(), standalone_envoy(relay.address) as envoy:
                await envoy.wait_ready()
                was, before = await held(old), await taken_in(envoy)
                for version in (new, old, new):
                    relay.turn(version.xds)
                    await until(partial(connected, version), lambda: "the proxy did not come")
                    assert await held(version) == was
                    assert await taken_in(envoy) == before
                # What is sent because of this comes after whatever else there was to send.
                await apply(stage.admin, router("default", "cart", "v2"))
                await stage.until_condition("MetaRouter", "cart", "Programmed")
                assert await taken_in(envoy) == before
                assert await total(new, "meltemi_xds_nacks_total") == 0
