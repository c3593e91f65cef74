from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meltemi.testing.fetching import (
    UnavailableError,
    cache_folder,
    explain_pip_failure,
    fetched_once,
    wheel,
)


def test_what_is_fetched_is_complete_and_fetched_once(tmp_path: Path) -> None:
    calls: list[Path] = []

    def fetch(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").write_text("content")

    folder = tmp_path / "deep" / "thing"
    assert fetched_once(folder, fetch) == fetched_once(folder, fetch) == folder
    assert (folder / "file").read_text() == "content"
    assert len(calls) == 1
    assert [path.name for path in folder.parent.iterdir()] == ["thing"]


def test_a_process_that_was_faster_wins(tmp_path: Path) -> None:
    def fetch(folder: Path) -> None:
        (folder / "file").write_text("ours")
        (tmp_path / "thing").mkdir()
        (tmp_path / "thing" / "file").write_text("the other's")

    assert (fetched_once(tmp_path / "thing", fetch) / "file").read_text() == "the other's"
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fetch(folder: Path) -> None:
        (folder / "half").touch()
        raise UnavailableError("no network")

    with pytest.raises(UnavailableError, match="no network"):
        fetched_once(tmp_path / "thing", fetch)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=r"file/thing cannot be filled"):
        fetched_once(tmp_path / "file" / "thing", lambda _: None)


def test_the_cache_is_where_the_user_wants_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("jars") == tmp_path / "meltemi" / "jars"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("jars") == Path.home() / ".cache" / "meltemi" / "jars"


def test_pip_is_asked_for_the_wheel_of_exactly_this_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        (Path(argv[-1]) / f"{argv[-3].replace('==', '-')}-py3-none-any.whl").touch()
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert wheel("thing", "1.2", tmp_path).name == "thing-1.2-py3-none-any.whl"


def test_what_pip_cannot_bring_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, 1, "", "ERROR: No matching distribution")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(UnavailableError, match=r"thing 1\.2 cannot be fetched"):
        wheel("thing", "1.2", tmp_path)


def test_a_version_that_the_index_lacks_is_answered_with_those_that_it_has() -> None:
    said = "ERROR: Could not find a version ... (from versions: 1.0, 1.1)\nERROR: No match"
    assert explain_pip_failure("thing 9", said) == (
        "The package index has no thing 9 for this machine; it offers 1.0, 1.1."
    )


def test_an_index_that_cannot_be_reached_is_told_from_a_missing_version() -> None:
    said = "ERROR: Could not find a version ... (from versions: none)\nERROR: No match"
    assert "check the network" in explain_pip_failure("thing 1", said)
    assert "pip says: No match" in explain_pip_failure("thing 1", said)


def test_a_python_without_pip_is_told_how_to_get_it() -> None:
    said = f"{sys.executable}: No module named pip"
    assert "python -m ensurepip" in explain_pip_failure("thing 1", said)
