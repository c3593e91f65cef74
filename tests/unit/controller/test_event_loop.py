"""Another event loop is used only where it is installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from meltemi.controller.app import USAGE, serve
from meltemi.controller.sources.files import FilesSource

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_loop_that_is_not_installed_is_told_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    address = ("127.0.0.1", 0)
    given = {"MELTEMI_EVENT_LOOP": "uvloop"}
    assert serve(FilesSource(tmp_path), xds=address, admin=address, given=given) == USAGE
    assert "pip install 'meltemi[uvloop]'" in capsys.readouterr().err
