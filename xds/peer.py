"""Who is at the other end of a connection, as the transport knows it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST = 2048
"""Bytes of a SPIFFE ID, of which 255 may be the trust domain."""

_TRUST_DOMAIN = r"[a-z0-9._-]{1,255}"
_SPIFFE = re.compile(rf"spiffe://({_TRUST_DOMAIN})((?:/[A-Za-z0-9._-]+)*)", re.ASCII)
_DOTS = frozenset({".", ".."})


class UnidentifiedError(Exception):
    """A peer has not said who it is in a way that can be relied on. The text is for the peer."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A SPIFFE identity that the transport has verified: ``spiffe://TRUST_DOMAIN/PATH``."""

    trust_domain: str
    path: str

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}{self.path}"


@dataclass(frozen=True, slots=True)
class Peer:
    """``address`` as gRPC writes it (``ipv4:127.0.0.1:45678``). ``identity`` is None where nobody
    has verified one: on plaintext. ``by_token``: a token says it, not a certificate.
    """

    address: str
    identity: Identity | None = None
    by_token: bool = False


def is_trust_domain(text: str) -> bool:
    """Whether a SPIFFE ID can have it."""
    return re.fullmatch(_TRUST_DOMAIN, text, re.ASCII) is not None


def identity(uris: Sequence[str]) -> Identity:
    """The identity in the URI SANs of a verified certificate (X.509-SVID section 2: exactly one;
    SPIFFE-ID section 2: its characters).

    Raises:
        UnidentifiedError: there is not exactly one, or it is no SPIFFE ID.
    """
    if len(uris) != 1:
        raise UnidentifiedError(
            f"the client certificate has {len(uris)} URIs among its subject alternative names: "
            "present one with exactly one, a SPIFFE ID"
        )
    found = _SPIFFE.fullmatch(uris[0]) if len(uris[0]) <= LONGEST else None
    if found is None or not _DOTS.isdisjoint(found[2].split("/")):
        raise UnidentifiedError(
            f"the client certificate's URI {uris[0][:100]!r} is no SPIFFE ID: "
            "present one such as spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT"
        )
    return Identity(found[1], found[2])
