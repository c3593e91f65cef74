"""kube-apiserver, etcd, kubectl and helm: those of the environment, or built once from Go modules.

``python -m tests.cluster.binaries`` prints the folders, after building what is missing; with the
argument ``servers`` all but helm.
``KUBEBUILDER_ASSETS`` names a folder with the first three, ``HELM`` the fourth. The builds take 8
to 11 minutes of CPU, 2 GB of memory and 4 GB of disk while they run, and leave 240 MB in a cache of
the user's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from meltemi.testing.fetching import UnavailableError, silent
from meltemi.testing.kube_binaries import ASSETS, CACHE, NAMES, given
from tests.cluster.go_program import GoProgram

if TYPE_CHECKING:
    from collections.abc import Callable

KUBERNETES = "v1.36.3"
"""The same as in ``kubernetes/go.mod``."""

HELM = "v3.22.0"
"""The same as in ``helm/go.mod``."""

_HERE = Path(__file__).parent
_MINOR = KUBERNETES.split(".")[1]
_VERSION = "k8s.io/component-base/version"
_SERVERS = GoProgram(
    name=CACHE,
    title="kube-apiserver, etcd and kubectl",
    version=KUBERNETES,
    source=_HERE / "kubernetes",
    flags=(
        "-trimpath",
        "-tags=selinux,notest,grpcnotrace",  # a third less to link
        f"-ldflags=-s -w -X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1"
        f" -X {_VERSION}.gitMinor={_MINOR}"
        f" -X {_VERSION}.gitTreeState=clean -X {_VERSION}.gitCommit=modules",
    ),
    package="./cmd/...",
    downloads=94,
    packages=2331,
    minutes="5 to 15",
    instead=f"set {ASSETS} to a folder with {', '.join(NAMES)}",
)
_CHARTS = "helm.sh/helm/v3/pkg/chartutil"
_HELM = GoProgram(
    name="helm",
    title="helm",
    version=HELM,
    source=_HERE / "helm",
    flags=(
        "-trimpath",
        f"-ldflags=-s -w -X helm.sh/helm/v3/internal/version.version={HELM}"
        # For which Kubernetes it renders when it asks none.
        f" -X {_CHARTS}.k8sVersionMajor=1 -X {_CHARTS}.k8sVersionMinor={_MINOR}",
    ),
    package="helm.sh/helm/v3/cmd/helm",
    downloads=101,
    packages=966,
    minutes="2 to 5",
    instead="set HELM to the path of a helm 3",
)


def binaries(progress: Callable[[str], None] = silent) -> Path:
    """A folder with all of ``NAMES``. ``progress`` gets a sentence per step that takes time.

    Raises UnavailableError.
    """
    return given() or _SERVERS.built(progress)


def helm(progress: Callable[[str], None] = silent) -> Path:
    """The path of helm. Raises UnavailableError."""
    if named := os.environ.get("HELM"):
        if not Path(named).is_file():
            raise UnavailableError(f"HELM is {named}, which is no file: unset it and it is built.")
        return Path(named)
    return _HELM.built(progress) / "helm"


def _main() -> int:
    def say(sentence: object) -> None:
        print(sentence, flush=True)  # noqa: T201

    try:
        for built in (binaries,) if sys.argv[1:] == ["servers"] else (binaries, helm):
            say(built(say))
    except UnavailableError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
