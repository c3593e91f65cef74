"""What is installed: namespaces, the Deployment, and the Secrets that its pods mount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.controller.health.result import error, fine, warning
from meltemi.controller.health.running import DENIED
from meltemi.controller.kube.mirror import mapping, mappings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.health.result import Result
    from meltemi.controller.kube.mirror import Body

FORBIDDEN, ABSENT = 403, 404
"""Statuses of answers that tell something: the others are failures."""

OWN = "correct --namespace; or install Meltemi: meltemi manifests all | kubectl apply -f -"
WATCHED = "correct --watch-namespace, or create the namespace"
MAKE = "create it, with the files that docs/install.md names: pods wait until it is there"
NOT_READY = "look at its pods: kubectl describe pods, and their log"


def presence(what: str, name: str, status: int, hint: str) -> Iterator[Result]:
    """A line where there is none, or that may not be looked at. ``what`` is its kind, ``status``
    of the answer to a GET.
    """
    if status == ABSENT:
        yield error("installation", f"there is no {what} {name}", hint, f"{what} {name}")
    elif status == FORBIDDEN:
        text = f"whether there is a {what} {name} may not be looked at"
        yield warning("installation", text, DENIED, f"{what} {name}")


def mounted(deployment: Body) -> tuple[str, ...]:
    """The Secrets without which no pod of it starts."""
    template = mapping(mapping(deployment.get("spec")).get("template"))
    volumes = mappings(mapping(template.get("spec")).get("volumes"))
    secrets = [mapping(each.get("secret")) for each in volumes]
    return tuple(str(each["secretName"]) for each in secrets if not each.get("optional") and each)


def deployment_results(deployment: Body | None) -> Iterator[Result]:
    """How many of its replicas are ready; None where there is no Deployment."""
    if deployment is None:
        text = "there is no Deployment meltemi: replicas run somewhere else, or there is none"
        yield fine("installation", text, "meltemi manifests deployment | kubectl apply -f -")
        return
    wanted = _number(deployment, "spec", "replicas", 1)
    ready = _number(deployment, "status", "readyReplicas", 0)
    text = f"{ready} of the {wanted} replicas that the Deployment wants are ready"
    if ready >= wanted:
        yield fine("installation", text)
    else:
        yield (warning if ready else error)("installation", text, NOT_READY)


def _number(body: Body, part: str, field: str, default: int) -> int:
    found = mapping(body.get(part)).get(field)
    return found if isinstance(found, int) else default
