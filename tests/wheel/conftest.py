"""The wheel, built once for all tests that want it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wheel.building import build

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built package."""
    return build(tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel"))
