"""How the admin port is secured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meltemi.xds.loopback import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class AdminSecurity:
    """``tokens``: the file of those that are let in; without it everybody is on loopback, and
    elsewhere nobody. ``certificate`` and ``key``: files of TLS; without them the port is plaintext.
    """

    tokens: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def closed(self, host: str) -> bool:
        """Whether nobody may look at what is served on ``host`` but health and readiness."""
        return self.tokens is None and not is_loopback(host)


def admin_security(environment: Mapping[str, str], prefix: str) -> AdminSecurity:
    """From ``ADMIN_TOKEN_FILE``, ``ADMIN_TLS_CERT`` and ``ADMIN_TLS_KEY`` after the prefix.

    Raises:
        ValueError: a certificate without its key, or a key without its certificate.
    """
    names = [f"{prefix}{each}" for each in ("ADMIN_TOKEN_FILE", "ADMIN_TLS_CERT", "ADMIN_TLS_KEY")]
    paths = [Path(text) if (text := environment.get(name)) else None for name in names]
    tokens, certificate, key = paths
    if (certificate is None) != (key is None):
        lacking, given = names[1:] if certificate is None else reversed(names[1:])
        raise ValueError(f"{lacking} is not set, and {given} is: set both, or none")
    return AdminSecurity(tokens, certificate, key)
