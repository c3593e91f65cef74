"""Which of the copies of Meltemi in a cluster this is."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
OUTSIDE = "meltemi-system"
"""The namespace of Meltemi's own objects when it runs in no pod."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Instance:
    """``name`` is unique among the replicas, a DNS label; ``namespace`` is where Meltemi's own
    objects are; ``service`` is the Service in front of all replicas.
    """

    name: str
    namespace: str = OUTSIDE
    service: str = "meltemi"


def instance(environment: Mapping[str, str], prefix: str, pod: Path = POD_NAMESPACE) -> Instance:
    """From ``POD_NAME``, ``POD_NAMESPACE`` and ``SERVICE`` after the prefix. Without them: the
    host's name, which is the pod's in a pod; the service account's namespace; ``meltemi``.

    Raises:
        ValueError: with a sentence that names the setting and what may be written.
    """
    host = re.sub("[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")
    name = host if pod.exists() else f"{host[:40] or 'meltemi'}-{os.getpid()}"
    namespace = pod.read_text(encoding="utf-8").strip() if pod.exists() else OUTSIDE
    found = {"POD_NAME": name, "POD_NAMESPACE": namespace, "SERVICE": "meltemi"}
    for setting, usual in found.items():
        value = found[setting] = environment.get(f"{prefix}{setting}", usual)
        if _DNS_LABEL.fullmatch(value) is None:
            raise ValueError(
                f"{prefix}{setting} is {value!r}: write a name of lowercase letters, digits and "
                "hyphens, at most 63 of them"
            )
    return Instance(*found.values())
