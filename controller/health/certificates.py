"""Files of TLS: whether they can be used, belong together, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from meltemi.controller.health.result import error, fine, listed, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from meltemi.controller.health.result import Result

SOON = timedelta(days=14)
"""Who renews certificates by themselves has done so by then."""

RENEW = "renew it: files that are replaced are read again without a restart"
REPLACE = "write a PEM chain and the unencrypted PEM key of its first certificate"
AUTHORITIES = "write the PEM certificates of who signs for proxies"
NAME_IT = "have it issued for the names by which Envoys reach the server (--server-name)"


@dataclass(frozen=True, slots=True)
class Pair:
    """What the files hold that a server shows, all PEM; ``authorities`` are of its clients, None
    where nobody is asked for a certificate. ``about`` says which server.
    """

    about: str
    certificate: bytes
    key: bytes
    authorities: bytes | None = None


def certificate_results(pair: Pair, now: datetime) -> Iterator[Result]:
    """What is wrong with them, or until when they are of use."""
    about = pair.about
    try:
        chain = _chain(pair)
    except (ValueError, TypeError, UnsupportedAlgorithm) as flaw:
        yield error("certificates", f"of {about}: cannot be used: {flaw}", REPLACE, about)
        return
    wrong = [*_lapses(about, chain, now), *_unnamed(about, chain[0])]
    if pair.authorities is not None:
        wrong += _of_clients(about, pair.authorities, now)
    if not wrong:
        until = min(each.not_valid_after_utc for each in chain)
        names = listed(names_of(chain[0]))
        yield fine("certificates", f"of {about}: for {names}, until {until:%Y-%m-%d}", "", about)
    yield from wrong


def lapse(certificate: x509.Certificate, now: datetime) -> tuple[bool, str] | None:
    """Whether it is of no use now, and a clause about its dates, where they are worth a look."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        return True, f"is not valid before {begins:%Y-%m-%d %H:%M} UTC"
    if now >= ends:
        return True, f"has expired at {ends:%Y-%m-%d %H:%M} UTC"
    if now >= ends - SOON:
        return False, f"expires at {ends:%Y-%m-%d %H:%M} UTC"
    return None


def names_of(certificate: x509.Certificate) -> list[str]:
    """Its subject alternative names."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kinds = x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier
    return [str(name) for kind in kinds for name in found.get_values_for_type(kind)]


def _chain(pair: Pair) -> list[x509.Certificate]:
    """Raises ValueError, TypeError or UnsupportedAlgorithm."""
    chain = x509.load_pem_x509_certificates(pair.certificate)
    if chain[0].public_key() != load_pem_private_key(pair.key, None).public_key():
        raise ValueError("the key is another one than the certificate's")
    return chain


def _lapses(about: str, chain: Sequence[x509.Certificate], now: datetime) -> Iterator[Result]:
    for certificate in chain:
        if (found := lapse(certificate, now)) is not None:
            useless, clause = found
            tell = error if useless else warning
            yield tell("certificates", f"of {about}: {_called(certificate)} {clause}", RENEW, about)


def _called(certificate: x509.Certificate) -> str:
    return f"{certificate.subject.rfc4514_string() or 'the certificate'!r}"


def _unnamed(about: str, leaf: x509.Certificate) -> Iterator[Result]:
    if not names_of(leaf):
        text = f"of {about}: it has no subject alternative name, so no Envoy can tell whose it is"
        yield warning("certificates", text, NAME_IT, about)


def _of_clients(about: str, authorities: bytes, now: datetime) -> Iterator[Result]:
    """Proxies of an authority that has expired stay outside; others may still come in."""
    about = f"{about}'s clients"
    try:
        found = x509.load_pem_x509_certificates(authorities)
    except ValueError as wrong:
        yield error("certificates", f"of {about}: cannot be used: {wrong}", AUTHORITIES, about)
        return
    lapsed = [(each, dates) for each in found if (dates := lapse(each, now)) is not None]
    nobody = len(lapsed) == len(found) and all(useless for _, (useless, _) in lapsed)
    for certificate, (_, clause) in lapsed:
        text = f"of {about}: the authority {_called(certificate)} {clause}"
        yield (error if nobody else warning)("certificates", text, RENEW, about)
