"""What ``status`` of our objects may say: one shape for every kind."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from meltemi.controller.decode.schema import Spec

Proxies = Annotated[int, Meta(ge=0)]


class Condition(Spec, frozen=True):
    """One thing that is true of the object, false, or not known, as the API conventions of
    Kubernetes have it: there is one entry for each `type`.
    """

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str = ""
    OPEN: ClassVar[bool] = True


class Rollout(Spec, frozen=True):
    """How many proxies are concerned, and how many of them accepted what the object compiles to,
    refused it, have not answered yet, or cannot express it.
    """

    proxies: Proxies = 0
    acked: Proxies = 0
    nacked: Proxies = 0
    pending: Proxies = 0
    unsupported: Proxies = 0
    OPEN: ClassVar[bool] = True


class Status(Spec, frozen=True):
    """What Meltemi found out about the object. `observedGeneration` is the generation that it has
    looked at: of a later one nothing is said yet.
    """

    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    rollout: Rollout = Rollout()
    OPEN: ClassVar[bool] = True
