"""Who is at the other end of a connection, as the transport knows it."""

from __future__ import annotations

from dataclasses import dataclass


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
    has verified one: on plaintext.
    """

    address: str
    identity: Identity | None = None
