"""Asks the admin ports of running servers."""

from __future__ import annotations

import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import typer

from meltemi.cli.output import Exit, fail, note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

EXAMPLE = "http://127.0.0.1:18080"

PATIENCE = 5.0
"""Seconds for a server to answer; the others need not wait for it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the servers answered, by URL, and why others did not."""

    answers: Mapping[str, Any]
    silences: Mapping[str, str]

    @property
    def silent(self) -> bool:
        """Whether some did not answer."""
        return bool(self.silences)

    def note_silences(self) -> None:
        """On standard error."""
        for server, text in self.silences.items():
            note(f"meltemi: {server} cannot be asked: {text}")


def ask(
    servers: Sequence[str],
    page: str,
    query: Mapping[str, str],
    token_file: Path | None,
    ca: Path | None,
) -> Asked:
    """As ``ask_once``; who cannot be reached is noted on standard error, and the command ends here
    if nobody answers.
    """
    asked = ask_once(servers, page, query, token_file, ca)
    asked.note_silences()
    if not asked.answers:
        raise typer.Exit(Exit.UNREACHABLE)
    return asked


def ask_once(
    servers: Sequence[str],
    page: str,
    query: Mapping[str, str],
    token_file: Path | None,
    ca: Path | None,
    *,
    patience: float = PATIENCE,
) -> Asked:
    """The JSON of a page from every server, asked side by side.

    ``patience`` in seconds for each of them. The command ends here if one says that the question
    may not be asked.
    """
    for server in servers:
        _check(server)
    headers = {"Authorization": f"Bearer {_token(token_file)}"} if token_file else {}
    wanted = f"/{page}?{urlencode(query)}" if query else f"/{page}"
    get = partial(_get, _opener(ca), wanted, headers, patience)
    with ThreadPoolExecutor(max_workers=min(16, len(servers))) as pool:
        found = dict(zip(servers, pool.map(get, servers), strict=True))
    for server, answer in found.items():
        if isinstance(answer, _Refused):
            fail(f"{server}: {answer.text}")
    silences = {url: each.text for url, each in found.items() if isinstance(each, _Silent)}
    return Asked({url: each for url, each in found.items() if url not in silences}, silences)


@dataclass(frozen=True, slots=True)
class _Silent:
    text: str


@dataclass(frozen=True, slots=True)
class _Refused:
    text: str


def _get(
    opener: OpenerDirector, wanted: str, headers: dict[str, str], patience: float, server: str
) -> Any:
    request = Request(server.rstrip("/") + wanted, headers=headers)
    try:
        with opener.open(request, timeout=patience) as answer:
            return json.loads(answer.read())
    except HTTPError as error:
        said = error.read(1000).decode(errors="replace").strip()
        if error.code in {401, 403}:
            return _Refused(f"{said or error.reason} (give --token-file)")
        return _Silent(f"{error.code} {said or error.reason}")
    except URLError as error:
        return _Silent(str(getattr(error.reason, "strerror", None) or error.reason))
    except (OSError, HTTPException, ValueError) as error:
        return _Silent(f"it does not answer as Meltemi does: {error!r}")


def _check(server: str) -> None:
    try:
        parts = urlsplit(server)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        fail(f"--server {server!r}: write a URL such as {EXAMPLE}")


def _token(path: Path) -> str:
    """The first word: a file of the server's may be given as it is."""
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--token-file {path} cannot be read: {error}")
    if not words:
        fail(f"--token-file {path} is empty: write the token into it")
    return words[0]


def _opener(ca: Path | None) -> OpenerDirector:
    """Never through a proxy of the environment: a token is for the server alone."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        fail(f"--ca {ca} cannot be used: {error.strerror or error}")
    return build_opener(ProxyHandler({}), HTTPSHandler(context=context))
