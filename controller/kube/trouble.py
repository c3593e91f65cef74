"""What a reflector's state means to an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.controller.kube.references import MOST
from meltemi.controller.kube.state import State
from meltemi.controller.store.objects import Identity
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from meltemi.controller.kube.reflector import Reflector

DENIED = "MEL0601"
STALE = "MEL0602"
CROWDED = "MEL0603"


def resource_of(reflector: Reflector) -> Identity:
    """The pseudo object of what is followed: a kind, or one object of it."""
    name = str(reflector.kind)
    if reflector.name:
        name = f"{name}/{reflector.name}"
    return Identity.of_resource(name, reflector.namespace)


def trouble(reflector: Reflector) -> Problem | None:
    """What is wrong with it, if anything is. A kind that is absent is not: who needs it defines it;
    nor is a failure that may be a restart of the API server.
    """
    about, kind = resource_of(reflector).ref(), reflector.kind
    where = f" in namespace {reflector.namespace}" if reflector.namespace else ""
    if reflector.state is State.STALE:
        cause = f"{about.name}{where} could not be read for a while: {reflector.reason}"
        return Problem(
            STALE, about, cause, "look after the API server; it is tried again and again"
        )
    if reflector.state is not State.DENIED:
        return None
    verbs, granted, option = "get, list and watch", f"{kind.plural}", ""
    if reflector.name:
        verbs, granted = "get and watch", f"{kind.plural}, resourceNames [{reflector.name}]"
        option = f" --secret {reflector.namespace}/{reflector.name}"
    cause = f"Meltemi may not {verbs} {about.name}{where}: {reflector.reason}"
    next_step = (
        f"give its service account a role with {verbs} on {granted} of apiGroup {kind.group!r}"
        f"{where} (meltemi manifests rbac{option}); no restart is needed"
    )
    return Problem(DENIED, about, cause, next_step)


def crowded(about: Identity, beyond: int) -> Problem:
    """More Secrets of a namespace are named than are followed."""
    cause = f"{MOST + beyond} Secrets are named in namespace {about.namespace}, {MOST} are read"
    next_step = "keep several passwords in one Secret, under keys of their own"
    return Problem(CROWDED, about.ref(), f"{cause}, the first by name", next_step)
