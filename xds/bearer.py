"""Peers that prove who they are by a bearer token, which each of their streams carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meltemi.xds.peer import UnidentifiedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from meltemi.xds.peer import Identity

    Authenticate = Callable[[str, Iterable[tuple[str, str | bytes]]], Awaitable["Verified"]]
    """Who has opened a stream, by its peer's address and its metadata. Raises ``server.Refused``
    where it does not say, or where nobody can tell now. Nothing is done for a stream before that.
    """

HEADER = "authorization"


@dataclass(frozen=True, slots=True)
class Verified:
    """Who a token is of, and for how many seconds it is good from now on."""

    identity: Identity
    lasts: float


def bearer_token(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The token in the metadata of a stream: ``authorization: Bearer TOKEN`` (RFC 6750 section
    2.1).

    Raises:
        UnidentifiedError: there is not exactly one.
    """
    found = [value for name, value in metadata if name == HEADER]
    if len(found) != 1:
        raise UnidentifiedError(
            f"the stream has {len(found)} {HEADER} headers: "
            f"send one in the metadata, `{HEADER}: Bearer TOKEN`"
        )
    [value] = found
    scheme, _, token = (value if isinstance(value, str) else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        # Not a word of it is quoted: it may be a token in the wrong place.
        raise UnidentifiedError(
            f"the {HEADER} header does not read `Bearer TOKEN`: send the token after that word"
        )
    return token.strip()
