"""The resolver against a Maven repository of our own on loopback."""

from __future__ import annotations

import io
import sys
import threading
import zipfile
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.fetching import UnavailableError
from meltemi.testing.jars import classpath

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


class Repository:
    """A Maven repository, named as the mirror of Maven Central. ``asked`` has what was fetched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []

    def publish(self, coordinate: str, *dependencies: str, jar: bytes | None = None) -> None:
        """``dependencies`` are ``group:artifact:version:scope``."""
        group, artifact, version = coordinate.split(":")
        at = self.folder / group.replace(".", "/") / artifact / version
        at.mkdir(parents=True)
        listed = "".join(
            "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
            "<scope>{}</scope></dependency>".format(*each.split(":"))
            for each in dependencies
        )
        (at / f"{artifact}-{version}.pom").write_text(
            '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
            f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version><dependencies>{listed}</dependencies></project>"
        )
        (at / f"{artifact}-{version}.jar").write_bytes(a_jar() if jar is None else jar)

    @property
    def jars(self) -> list[str]:
        """The names of the jars that were fetched."""
        return [path.rpartition("/")[2] for path in self.asked if path.endswith(".jar")]


def a_jar() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("Main.class", "code")
    return data.getvalue()


@contextmanager
def served(repository: Repository) -> Generator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            repository.asked.append(self.path)
            super().do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Not on the terminal."""

    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=str(repository.folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def maven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Generator[Repository]:
    repository = Repository(tmp_path / "maven")
    repository.folder.mkdir()
    with served(repository) as url:
        mirror(monkeypatch, tmp_path, url)
        yield repository


def mirror(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    """Name it in jgo's configuration, and see to it that no proxy is asked."""
    (folder / "jgo.conf").write_text(f"[repositories]\ncentral = {url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(folder / "jgo.conf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_class_path_has_what_is_needed_at_runtime_and_comes_from_the_mirror(
    maven: Repository, tmp_path: Path
) -> None:
    maven.publish(
        "org.app:app:1.0", "org.lib:lib:2.0:compile", "org.run:run:3.0:runtime", "org.t:t:4.0:test"
    )
    for coordinate in ("org.lib:lib:2.0", "org.run:run:3.0", "org.t:t:4.0"):
        maven.publish(coordinate)
    jars = classpath("org.app:app:1.0", cache=tmp_path / "cache")
    assert [jar.name for jar in jars] == [
        "org.app.app-1.0.jar",
        "org.lib.lib-2.0.jar",
        "org.run.run-3.0.jar",
    ]
    assert ":" not in str(jars[0].relative_to(tmp_path)), "it would end an entry of a class path"
    assert sorted(maven.jars) == ["app-1.0.jar", "lib-2.0.jar", "run-3.0.jar"]


def test_several_coordinates_are_resolved_together(maven: Repository, tmp_path: Path) -> None:
    maven.publish("org.one:one:1.0", "org.lib:lib:2.0:compile")
    maven.publish("org.two:two:1.0", "org.lib:lib:3.0:compile")
    maven.publish("org.lib:lib:2.0")
    maven.publish("org.lib:lib:3.0")
    jars = classpath("org.one:one:1.0", "org.two:two:1.0", cache=tmp_path / "cache")
    assert [jar.name for jar in jars] == [
        "org.lib.lib-2.0.jar",
        "org.one.one-1.0.jar",
        "org.two.two-1.0.jar",
    ]


def test_jars_are_fetched_once_and_nothing_else_is_kept(maven: Repository, tmp_path: Path) -> None:
    maven.publish("org.app:app:1.0")
    steps: list[str] = []
    first = classpath("org.app:app:1.0", progress=steps.append, cache=tmp_path / "cache")
    asked = len(maven.asked)
    assert classpath("org.app:app:1.0", progress=steps.append, cache=tmp_path / "cache") == first
    assert len(maven.asked) == asked
    assert steps == [
        "Resolving org.app:app:1.0 in Maven (once)",
        "Fetching 1 jars from Maven (once)",
    ]
    assert list(first[0].parent.iterdir()) == list(first)


def test_two_groups_may_use_one_file_name(maven: Repository, tmp_path: Path) -> None:
    maven.publish("org.app:same:1.0", "org.lib:same:1.0:compile")
    maven.publish("org.lib:same:1.0")
    assert len(classpath("org.app:same:1.0", cache=tmp_path / "cache")) == 2


@pytest.mark.usefixtures("maven")
def test_what_maven_lacks_is_named_and_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"org\.app:app:9\.9 cannot be fetched from Maven"):
        classpath("org.app:app:9.9", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_library_that_is_listed_but_gone_is_named(maven: Repository, tmp_path: Path) -> None:
    maven.publish("org.app:app:1.0")
    (maven.folder / "org/app/app/1.0/app-1.0.jar").unlink()
    with pytest.raises(UnavailableError, match=r"cannot be fetched from Maven.*app:jar:1\.0"):
        classpath("org.app:app:1.0", cache=tmp_path / "cache")


def test_a_damaged_jar_is_refused_and_nothing_stays(maven: Repository, tmp_path: Path) -> None:
    whole = a_jar()
    flipped = whole.replace(b"code", b"c0de")
    for number, jar in enumerate((b"<html>", whole[:-4], flipped)):
        maven.publish(f"org.app:app:{number}", jar=jar)
        with pytest.raises(UnavailableError, match=rf"damaged app-{number}\.jar"):
            classpath(f"org.app:app:{number}", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_network_that_does_not_answer_is_told_with_the_way_to_name_a_mirror(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mirror(monkeypatch, tmp_path, "http://127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"check the network, or name a mirror as `central`"):
        classpath("org.app:app:1.0", cache=tmp_path / "cache")


def test_without_the_resolver_the_error_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "jgo.config", None)
    with pytest.raises(UnavailableError, match=r"pip install meltemi\[demo\]"):
        classpath("org.app:app:1.0", cache=tmp_path)
