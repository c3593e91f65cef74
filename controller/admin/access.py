"""Who may look at what: bearer tokens, each for some namespaces or for all."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ALL = "*"
SHORTEST = 16
"""Characters of a token; what is shorter can be guessed."""

_SCHEME = "bearer "


class TokenError(ValueError):
    """The file of tokens cannot be used. The text names file, line, cause and next step."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may look at: these namespaces, or with None everything."""

    namespaces: frozenset[str] | None = None

    def sees(self, namespace: str) -> bool:
        """Whether things of a namespace are shown."""
        return self.namespaces is None or namespace in self.namespaces

    @property
    def everything(self) -> bool:
        """Whether things of no namespace are shown as well."""
        return self.namespaces is None


EVERYTHING = Grant()


def read_tokens(path: Path) -> dict[str, Grant]:
    """The tokens of a file.

    Raises:
        TokenError: it cannot be read or understood.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(
            f"{path}: the tokens of the admin page cannot be read: {error}; "
            "correct MELTEMI_ADMIN_TOKEN_FILE, or the file"
        ) from error
    tokens: dict[str, Grant] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            _add(tokens, words, f"{path}:{number}")
    if not tokens:
        raise TokenError(f"{path}: there is no token in it: write a line 'TOKEN *'")
    return tokens


def _add(tokens: dict[str, Grant], words: list[str], place: str) -> None:
    """A line: the token and what it is for. The text of an error never shows the token."""
    token, *namespaces = words
    if len(token) < SHORTEST or not token.isascii():
        raise TokenError(f"{place}: a token has at least {SHORTEST} ASCII characters")
    if not namespaces:
        raise TokenError(f"{place}: write the namespaces that the token is for after it, or *")
    if token in tokens:
        raise TokenError(f"{place}: the token is in the file twice")
    tokens[token] = EVERYTHING if ALL in namespaces else Grant(frozenset(namespaces))


def grant_of(authorization: str, tokens: Mapping[str, Grant]) -> Grant | None:
    """What an ``Authorization`` header (RFC 6750) gives; None where it gives nothing.

    How long it takes says nothing about how much of a token is right.
    """
    if not authorization.lower().startswith(_SCHEME):
        return None
    given = authorization[len(_SCHEME) :].strip().encode()
    found: Grant | None = None
    for token, grant in tokens.items():
        if compare_digest(token.encode(), given):
            found = grant
    return found
