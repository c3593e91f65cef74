"""The part that all objects share: which one it is."""

from __future__ import annotations

import re
from typing import ClassVar

from msgspec import field

from meltemi.controller.decode.schema import Spec

DEFAULT_NAMESPACE = "default"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


class Metadata(Spec, frozen=True):
    """``metadata`` of every object."""

    name: str
    namespace: str = DEFAULT_NAMESPACE
    generation: int = 0
    creation_timestamp: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    IGNORED: ClassVar[frozenset[str]] = frozenset(
        {
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "finalizers",
            "generateName",
            "managedFields",
            "ownerReferences",
            "resourceVersion",
            "selfLink",
            "uid",
        }
    )


def is_name(text: str) -> bool:
    """Whether Kubernetes would take it as a name (a DNS subdomain)."""
    return _NAME.fullmatch(text) is not None
