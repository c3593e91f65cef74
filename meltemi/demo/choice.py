"""Which Kubernetes cluster the demo plays in."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kubernetes.aio.config import ConfigException

from meltemi.controller.health.apiserver import UNKNOWN
from meltemi.controller.kube.api import Api, ApiError, configuration
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.kube_binaries import kube_binaries
from meltemi.xds.loopback import is_loopback

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_S = 10.0
"""How long an API server may be silent."""


class ClusterError(RuntimeError):
    """There is no cluster that the demo may play in, or it does not let it. The text is a sentence
    with the cause and the next step.
    """


class UsageError(ClusterError):
    """Another option is needed."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for. ``yes``: also in a cluster that is not on this machine."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    local: bool = False
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server that is there, with the options by which others find it too."""

    kubeconfig: str
    context: str = ""

    async def connect(self) -> Api:
        """Whoever asks closes it. Raises ConfigException."""
        found = await configuration(self.kubeconfig, self.context)
        return Api(found, idle=ANSWER_S)

    @property
    def options(self) -> tuple[str, ...]:
        """For ``meltemi serve`` and ``kubectl``."""
        given = (("--kubeconfig", self.kubeconfig), ("--context", self.context))
        return tuple(part for name, value in given if value for part in (name, value))


@dataclass(frozen=True, slots=True)
class Choice:
    """``where`` is a cluster that is there, or the folder of the programs that make one. ``said``:
    which it is, for people.
    """

    said: str
    where: Cluster | Path


async def choose(wanted: Wanted) -> Choice:
    """The cluster of the kubeconfig, or else one of the demo's own.

    Raises UsageError, and UnavailableError where it does not answer, or there is nothing to start
    one from.
    """
    if wanted.local:
        return _own("An API server of the demo's own")
    # What it would warn of is told below.
    logging.getLogger("kubernetes").addHandler(logging.NullHandler())
    try:
        found: Any = await configuration(wanted.kubeconfig, wanted.context)
    except (ConfigException, OSError) as error:
        if wanted.kubeconfig or wanted.context:
            raise UsageError(
                f"the kubeconfig cannot be used: {error}; write another --kubeconfig or --context, "
                "or --local for an API server of the demo's own"
            ) from error
        return _own("There is no kubeconfig, so an API server of the demo's own")
    require_permission(found.host, yes=wanted.yes)
    cluster = Cluster(wanted.kubeconfig, wanted.context)
    return Choice(f"Kubernetes {await _version(cluster, found.host)} at {found.host}", cluster)


def require_permission(url: str, *, yes: bool) -> None:
    """The demo writes into a cluster that others use only when that was said.

    Raises UsageError.
    """
    if not (yes or is_loopback(urlsplit(url).hostname or "")):
        raise UsageError(
            f"{url} is not on this machine, and the demo would define kinds there: say --yes if "
            "you mean that, or --local for an API server of the demo's own"
        )


def _own(said: str) -> Choice:
    return Choice(f"{said}, started on loopback", kube_binaries())


async def _version(cluster: Cluster, url: str) -> str:
    api = await cluster.connect()
    try:
        return str((await api.get("/version"))["gitVersion"])
    except ApiError as error:
        if error.status == 401:
            raise UsageError(
                f"the API server {url} does not know who asks: {error}; {UNKNOWN}, or write "
                "--local for one of the demo's own"
            ) from error
        raise UnavailableError(
            f"the API server {url} does not answer: {error}; start it, or write --local for one of "
            "the demo's own"
        ) from error
    finally:
        await api.close()
