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
    """``tokens``: the file of those that are let in; without it everybody is, so only loopback is
    served. ``certificate`` and ``key``: files of TLS; without them the port is plaintext.
    """

    tokens: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


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


def require_safe(security: AdminSecurity, host: str, port: int) -> None:
    """Raises ValueError with a sentence where everybody could read what is served."""
    if security.tokens is None and not is_loopback(host):
        raise ValueError(
            f"cannot listen on {host!r} port {port}: without tokens the admin page is on a "
            "loopback address only, such as 127.0.0.1:18080; set MELTEMI_ADMIN_TOKEN_FILE to "
            "serve it elsewhere"
        )
