"""Reads the files of TLS that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from meltemi.controller.health.certificates import Pair, certificate_results
from meltemi.controller.health.result import error, fine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from meltemi.controller.health.result import Result
    from meltemi.controller.settings import Settings

MOUNT = "correct the path, or mount what should be there; whoever serves must be able to read it"


class Files(NamedTuple):
    """``about``: the option of ``meltemi serve`` whose port they are for."""

    about: str
    certificate: Path
    key: Path
    authorities: Path | None = None


def files_of(settings: Settings) -> Iterator[Files]:
    """All that are given, each pair once."""
    security, admin, webhook = settings.security, settings.admin, settings.webhook.files
    mutual, tokens = security.tls, security.tokens
    if mutual is not None:
        yield Files("--xds", mutual.certificate, mutual.key, mutual.client_ca)
    if tokens is not None and mutual is None:
        yield Files("--token-xds", tokens.tls.certificate, tokens.tls.key)
    if admin.certificate is not None and admin.key is not None:
        yield Files("--admin", admin.certificate, admin.key)
    if webhook is not None:
        yield Files("--webhook", webhook.certificate, webhook.key)


def file_results(settings: Settings, now: datetime) -> Iterator[Result]:
    """One line or more for each pair."""
    given = [*files_of(settings)]
    if not given:
        yield fine("certificates", "no files of TLS are given")
    for files in given:
        try:
            pair = _read(files)
        except OSError as refused:
            text = f"of {files.about}: {refused.filename} cannot be read: {refused.strerror}"
            yield error("certificates", text, MOUNT, files.about)
        else:
            yield from certificate_results(pair, now)


def _read(files: Files) -> Pair:
    """Raises OSError."""
    authorities = None if files.authorities is None else files.authorities.read_bytes()
    return Pair(files.about, files.certificate.read_bytes(), files.key.read_bytes(), authorities)
