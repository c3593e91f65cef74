"""Mutual TLS of the servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.xds.credentials import MutualTls, TlsFiles

if TYPE_CHECKING:
    from pathlib import Path

TRUST_DOMAIN = "cluster.local"


def mutual_tls(folder: Path | None) -> MutualTls | None:
    """With the files of a folder, as Kubernetes mounts a Secret; None for plaintext."""
    if folder is None:
        return None
    files = TlsFiles(*(folder / name for name in ("tls.crt", "tls.key", "ca.crt")))
    return MutualTls(files, TRUST_DOMAIN, lambda _: None)
