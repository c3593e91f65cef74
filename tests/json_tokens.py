"""JSON Web Tokens that say anything, signed by nobody."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode


def json_token(claims: object, header: object = None, signature: str = "x") -> str:
    """Header, claims and signature, as RFC 7519 has them."""
    parts = ({"alg": "RS256"} if header is None else header, claims)
    return ".".join([*(encoded(json.dumps(part).encode()) for part in parts), signature])


def encoded(raw: bytes) -> str:
    """Base64 as tokens have it."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
