from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.process import ServerProcessError

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_meltemi_that_does_not_start_is_reported_and_leaves_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServerProcessError, match="Meltemi ended with code"):
        async with MeltemiProcess(tmp_path, extra_args=["--no-such-flag"], folder=tmp_path):
            pass
    assert (tmp_path / "meltemi.log").read_text()


def test_its_ports_are_known_before_it_starts(tmp_path: Path) -> None:
    meltemi = MeltemiProcess(tmp_path)
    assert meltemi.xds.port != meltemi.admin.port
