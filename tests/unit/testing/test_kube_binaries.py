"""Where an API server's programs are looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meltemi.testing.fetching import UnavailableError
from meltemi.testing.kube_binaries import ASSETS, NAMES, kube_binaries

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and nothing in the environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(ASSETS, raising=False)
    return tmp_path / "meltemi" / "kube"


def test_the_environment_comes_before_what_was_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, builds: Path
) -> None:
    (builds / "v1.36.3-abc").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / name).touch()
    monkeypatch.setenv(ASSETS, str(tmp_path))
    assert kube_binaries() == tmp_path


def test_a_folder_without_them_is_told_with_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "kubectl").touch()
    monkeypatch.setenv(ASSETS, str(tmp_path))
    with pytest.raises(UnavailableError, match="where etcd, kube-apiserver cannot be found"):
        kube_binaries()


def test_of_several_builds_the_newest_is_taken_and_never_an_unfinished_one(builds: Path) -> None:
    for name in ("v1.9.9-abc", "v1.36.3-0a1", "v1.36.lock", ".fetching-v9"):
        (builds / name).mkdir(parents=True)
    assert kube_binaries() == builds / "v1.36.3-0a1"


def test_without_any_it_says_how_to_get_one() -> None:
    with pytest.raises(UnavailableError, match=r"make demo-kube.*KUBEBUILDER_ASSETS"):
        kube_binaries()
