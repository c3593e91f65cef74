"""Where kube-apiserver, etcd and kubectl are on this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from meltemi.testing.fetching import UnavailableError, cache_folder

ASSETS = "KUBEBUILDER_ASSETS"
"""The setting that names a folder with all of ``NAMES``, as setup-envtest prints it."""

NAMES = ("etcd", "kube-apiserver", "kubectl")
CACHE = "kube"
"""The folder in the cache with one folder for each build, ``vMAJOR.MINOR.PATCH-KEY``."""

_BUILT = re.compile(r"v(\d+)\.(\d+)\.(\d+)-[0-9a-f]+")


def given() -> Path | None:
    """The folder that the environment names, None if it names none.

    Raises UnavailableError if not all of ``NAMES`` are in it.
    """
    if not (named := os.environ.get(ASSETS)):
        return None
    absent = [name for name in NAMES if not (Path(named) / name).exists()]
    if absent:
        raise UnavailableError(
            f"{ASSETS} is {named}, where {', '.join(absent)} cannot be found: "
            "name a folder that has them, or unset it and they are built."
        )
    return Path(named)


def kube_binaries() -> Path:
    """The folder that the environment names, or the newest that was built here.

    Raises UnavailableError: nothing is fetched or built.
    """
    if (folder := given()) is not None:
        return folder
    if (built := _newest(cache_folder(CACHE))) is not None:
        return built
    raise UnavailableError(
        "There is no kube-apiserver here: run `make demo-kube` in a checkout, which builds it once "
        f"in 5 to 15 minutes, or set {ASSETS} to a folder with {', '.join(NAMES)}, such as "
        "setup-envtest fetches."
    )


def _newest(builds: Path) -> Path | None:
    found = {
        tuple(map(int, version.groups())): folder
        for folder in (builds.iterdir() if builds.is_dir() else ())
        if (version := _BUILT.fullmatch(folder.name))
    }
    return found[max(found)] if found else None
