from __future__ import annotations

import re
from pathlib import Path

import pytest

from meltemi.testing import java_sources
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.java import JavaRuntime
from meltemi.testing.java_sources import ECJ, compiled

# Says how it was called, in the folder that a compiler writes to.
COMPILES = """#!/bin/sh
arguments="$*"
while [ "$1" != -d ]; do shift; done
echo "$0 $arguments" > "$2/called"
"""


def program(path: Path, text: str = COMPILES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def sources(folder: Path, text: str = "class A {}") -> tuple[Path, ...]:
    folder.mkdir(exist_ok=True)
    (folder / "A.java").write_text(text)
    (folder / "B.java").write_text("class B {}")
    return folder / "A.java", folder / "B.java"


@pytest.fixture
def java(tmp_path: Path) -> JavaRuntime:
    """As Linux distributions install it: what is on the PATH is a link."""
    real = program(tmp_path / "jdk" / "bin" / "java")
    link = tmp_path / "bin" / "java"
    link.parent.mkdir()
    link.symlink_to(real)
    return JavaRuntime(link, "21")


def test_the_compiler_beside_java_compiles_all_sources_against_all_jars_for_java_17(
    tmp_path: Path, java: JavaRuntime
) -> None:
    javac = program(tmp_path / "jdk" / "bin" / "javac")
    first, second = sources(tmp_path / "src")
    jars = [Path("one.jar"), Path("two.jar")]
    folder = compiled([second, first], jars, java, cache=tmp_path / "cache")
    called = (folder / "called").read_text().strip()
    assert called.startswith(f"{javac} ")
    assert called.endswith(f" -classpath one.jar:two.jar {first} {second}")
    assert re.search(r"-source 17 -target 17\b", called)


def test_without_a_compiler_on_the_machine_java_runs_one_from_maven(
    tmp_path: Path, java: JavaRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def classpath(*coordinates: str, progress: object) -> tuple[Path, ...]:
        assert coordinates == (ECJ,)
        return (Path("ecj.jar"),)

    monkeypatch.setattr(java_sources, "classpath", classpath)
    folder = compiled(sources(tmp_path / "src"), (), java, cache=tmp_path / "cache")
    assert " -jar ecj.jar -encoding " in (folder / "called").read_text()


def test_what_was_compiled_is_kept_until_sources_or_jars_change(
    tmp_path: Path, java: JavaRuntime
) -> None:
    program(tmp_path / "jdk" / "bin" / "javac")
    steps, cache = list[str](), tmp_path / "cache"

    def compile_now(text: str, jar: str) -> Path:
        listed = sources(tmp_path / "src", text)
        return compiled(listed, [Path(jar)], java, steps.append, cache)

    kept = compile_now("class A {}", "dubbo-1.jar")
    assert compile_now("class A {}", "dubbo-1.jar") == kept
    assert len(steps) == 1
    others = {compile_now("class A { }", "dubbo-1.jar"), compile_now("class A {}", "dubbo-2.jar")}
    assert len(others | {kept}) == 3


def test_what_the_compiler_objects_to_is_told_and_nothing_is_kept(
    tmp_path: Path, java: JavaRuntime
) -> None:
    program(tmp_path / "jdk" / "bin" / "javac", "#!/bin/sh\necho 'A.java:1: error' >&2; exit 1\n")
    with pytest.raises(UnavailableError, match=r"cannot be compiled: A\.java:1: error"):
        compiled(sources(tmp_path / "src"), (), java, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
