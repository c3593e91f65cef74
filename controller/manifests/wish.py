"""What of an installation may be chosen."""

from __future__ import annotations

import re
from dataclasses import dataclass

from meltemi.controller.kube.instance import OUTSIDE

NAME = "meltemi"
"""Of every object: a namespace has one installation."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Wish:
    """``watched``: the namespaces whose objects are read, all of them when empty. ``webhook``: have
    the API server ask before it takes a rule. ``tokens``: a second port for proxies, which come
    with service account tokens. ``tls``: the Secret with the certificate of the ports for proxies.
    ``admin_tokens``: the Secret with the file ``tokens`` of the admin port. ``secrets``: namespace
    and name of those that rules refer to.

    Raises ValueError with a sentence where a value can be none.
    """

    image: str
    namespace: str = OUTSIDE
    replicas: int = 2
    watched: tuple[str, ...] = ()
    webhook: bool = True
    tokens: bool = False
    tls: str = "meltemi-tls"
    admin_tokens: str = ""
    secrets: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no cluster would take, or what would not be read."""
        in_namespaces = (namespace for namespace, _ in self.secrets)
        for namespace in (self.namespace, *self.watched, *in_namespaces):
            _require(_LABEL, namespace, "a namespace", 63)
        optional = (self.admin_tokens,) if self.admin_tokens else ()
        for name in (self.tls, *optional, *(name for _, name in self.secrets)):
            _require(_NAME, name, "a Secret", 253)
        if not self.image or any(map(str.isspace, self.image)):
            raise ValueError(f"{self.image!r} is no image: write its name as a registry has it")
        if self.replicas < 1:
            raise ValueError(f"{self.replicas} replicas serve nobody: write at least 1")
        unread = [
            f"{namespace}/{name}"
            for namespace, name in self.secrets
            if self.watched and namespace not in self.watched
        ]
        if unread:
            raise ValueError(
                f"nothing in the namespace of the Secret {unread[0]} is read: "
                "add it to those that are watched"
            )


def _require(pattern: re.Pattern[str], text: str, what: str, most: int) -> None:
    """Raises ValueError."""
    if pattern.fullmatch(text) is None:
        raise ValueError(
            f"{text!r} is not the name of {what}: write lowercase letters, digits and hyphens, "
            f"at most {most} of them"
        )
