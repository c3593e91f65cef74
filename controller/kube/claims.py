"""What a service account token says of itself: enough to refuse it, never to accept it."""

from __future__ import annotations

from base64 import urlsafe_b64decode

import msgspec

from meltemi.xds.peer import UnidentifiedError

_HOW = "send one that Kubernetes issues to a service account, by a projected volume"


class _Header(msgspec.Struct):
    alg: str


class _Claims(msgspec.Struct):
    aud: str | list[str]
    exp: float


def remaining(token: str, audience: str, now: float) -> float:
    """For how many seconds a token is good, if it is genuine; only who has issued it can tell that.
    ``now``: Unix time.

    Raises:
        UnidentifiedError: it is no signed JWT (RFC 7519) with an audience and an expiry, is for
            somebody else, or has expired.
    """
    claims = _claims(token)
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if audience not in audiences:
        raise UnidentifiedError(
            f"the token is for {', '.join(map(repr, audiences))[:200]}, not for {audience!r}: "
            f"request it with `audience: {audience}`"
        )
    if claims.exp <= now:
        raise UnidentifiedError(
            f"the token expired {now - claims.exp:.0f} s ago: send the one that has replaced it"
        )
    return claims.exp - now


def _claims(token: str) -> _Claims:
    header, dot, rest = token.partition(".")
    payload, second, signature = rest.partition(".")
    try:
        algorithm = msgspec.json.decode(_decoded(header), type=_Header).alg
        claims = msgspec.json.decode(_decoded(payload), type=_Claims)
    except (ValueError, RecursionError) as error:
        raise UnidentifiedError(
            f"the token is no JWT with an audience and an expiry: {_HOW}"
        ) from error
    if not (dot and second and signature) or algorithm.lower() == "none":
        raise UnidentifiedError(f"the token is not signed: {_HOW}")
    return claims


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
