"""Host names: what a short name means, and which names are hosts at all."""

from __future__ import annotations

import re
from ipaddress import ip_address

DOMAIN = "svc.cluster.local"

_LABEL = r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_LONGEST = 253

PATTERN = _HOST.pattern
"""What ``flaw`` asks of a host besides its length and that it is no address."""


def service_host(namespace: str, name: str) -> str:
    """The host of a Kubernetes Service."""
    return f"{name}.{namespace}.{DOMAIN}"


def expand(host: str, namespace: str) -> str:
    """What a host written in an object of that namespace means.

    A name without a dot is a Service of the namespace; everything else is taken as it stands
    (Istio's rule: ``a.b`` is not expanded), but in lower case, as DNS compares.
    """
    name = host.lower()
    return name if "." in name or name == "*" else service_host(namespace, name)


def flaw(host: str) -> str | None:
    """Why this cannot be the host of a rule or a service; None when it can."""
    if "*" in host:
        return "wildcard hosts are not supported"
    if canonical_ip(host) is not None:
        return "it is an IP address"
    if len(host) > _LONGEST or not _HOST.fullmatch(host):
        return "it is no DNS name"
    return None


def canonical_ip(text: str) -> str | None:
    """The IP address in its shortest form; None when it is none. Zones (``%eth0``) are refused."""
    if "%" in text:
        return None
    try:
        return str(ip_address(text))
    except ValueError:
        return None
