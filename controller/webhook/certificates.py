"""The webhook's certificate and its authority: when they are renewed, and how they are made.

The API server trusts what the configuration's ``caBundle`` holds. So a new root is published there
first, beside the old one, and signs nothing before everybody has it: whoever is asked, under
whichever certificate, is trusted all the time. Time is a parameter.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

SKEW = timedelta(hours=1)
"""How far behind ours another machine's clock may be: certificates hold since before now."""

ROOTS = 4
"""How many roots are kept at most, the newest first."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a root and what it signs last; both are replaced after two thirds of that.
    ``overlap``: how long a new root is only published before it signs.
    """

    root: timedelta = timedelta(days=3 * 365)
    leaf: timedelta = timedelta(days=90)
    overlap: timedelta = timedelta(days=1)


TERMS = Terms()


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """All of it as PEM: the server's certificate and key, the roots with the newest first, and the
    newest root's key. Never printed.
    """

    certificate: bytes
    key: bytes
    roots: bytes
    root_key: bytes


class Action(Enum):
    """What is to be done."""

    KEEP = "keep"
    RENEW = "renew the certificate"
    ROTATE = "rotate the authority"


class Plan(NamedTuple):
    """``reason`` is a clause for the log, empty where there is nothing to do."""

    action: Action
    reason: str = ""


KEEP = Plan(Action.KEEP)


class _Authority(NamedTuple):
    """``root`` is the newest; ``known`` are all that can be read, it included."""

    root: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    known: Sequence[x509.Certificate]


def plan(
    material: Material | None, names: frozenset[str], now: datetime, terms: Terms = TERMS
) -> Plan:
    """What to do with what there is, for a server that is reached by all of these names."""
    if material is None:
        return Plan(Action.ROTATE, "there is none yet")
    try:
        authority = _authority(material)
    except ValueError as error:
        return Plan(Action.ROTATE, f"its authority cannot be used: {error}")
    if _is_due(authority.root, now):
        return Plan(Action.ROTATE, "its authority has lived for two thirds of its life")
    try:
        leaf, issuer = _leaf(material, authority.known, now)
    except ValueError as error:
        return Plan(Action.RENEW, f"it cannot be used: {error}")
    if issuer != authority.root:
        if now < _issued(authority.root) + terms.overlap:
            return KEEP
        return Plan(Action.RENEW, "a newer authority is known everywhere by now")
    if missing := names - _names(leaf):
        return Plan(Action.RENEW, f"it is not for {', '.join(sorted(missing))}")
    if _is_due(leaf, now):
        return Plan(Action.RENEW, "it has lived for two thirds of its life")
    return KEEP


def carry_out(
    action: Action,
    material: Material | None,
    names: frozenset[str],
    now: datetime,
    terms: Terms = TERMS,
) -> Material:
    """What is there afterwards. A certificate that is of use stays while the authority changes."""
    if action is Action.KEEP and material is not None:
        return material
    if action is Action.RENEW and material is not None:
        authority = _authority(material)
        return _issue(authority, names, now, terms)
    known = [] if material is None else _readable(material.roots)
    root, key = _new_root(now, terms)
    kept = [each for each in known if now < each.not_valid_after_utc]
    authority = _Authority(root, key, [root, *kept][:ROOTS])
    if material is not None and is_usable(material, now):
        roots, root_key = _pem(authority.known), _key_pem(key)
        return Material(material.certificate, material.key, roots, root_key)
    return _issue(authority, names, now, terms)


def is_usable(material: Material, now: datetime) -> bool:
    """Whether a client that trusts the roots takes the certificate now."""
    try:
        _leaf(material, _readable(material.roots), now)
    except ValueError:
        return False
    return True


# -- reading ---------------------------------------------------------------------------------------


def _authority(material: Material) -> _Authority:
    """Raises ValueError."""
    known = _readable(material.roots)
    if not known:
        raise ValueError("there is no root that can be read")
    key = _private_key(material.root_key)
    if not _belong(known[0].public_key(), key):
        raise ValueError("the root and its key do not belong together")
    return _Authority(known[0], key, known)


def _leaf(
    material: Material, roots: Iterable[x509.Certificate], now: datetime
) -> tuple[x509.Certificate, x509.Certificate]:
    """The certificate and its root. Raises ValueError with what is wrong."""
    leaf = x509.load_pem_x509_certificate(material.certificate)
    if not _belong(leaf.public_key(), _private_key(material.key)):
        raise ValueError("the certificate and its key do not belong together")
    if not leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc:
        raise ValueError("it is not valid now")
    for root in roots:
        if _is_issued_by(leaf, root) and now < root.not_valid_after_utc:
            return leaf, root
    raise ValueError("none of the roots has signed it")


def _readable(roots: bytes) -> list[x509.Certificate]:
    """None at all where one of them is garbled: nobody can tell what was meant."""
    try:
        return x509.load_pem_x509_certificates(roots)
    except ValueError:
        return []


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Raises ValueError."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"its key is of no use: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("its key is of another kind than we make")  # noqa: TRY004
    return key


def _belong(public: CertificatePublicKeyTypes, key: ec.EllipticCurvePrivateKey) -> bool:
    return public == key.public_key()


def _is_issued_by(leaf: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names(leaf: x509.Certificate) -> frozenset[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    dns = found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return frozenset([*dns, *map(str, addresses)])


def _issued(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_before_utc + SKEW


def _is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Also where it is not valid yet: then a clock was wrong, its maker's or ours."""
    life = certificate.not_valid_after_utc - _issued(certificate)
    return not certificate.not_valid_before_utc <= now < _issued(certificate) + life * 2 / 3


# -- making ----------------------------------------------------------------------------------------


def _new_root(now: datetime, terms: Terms) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name("Meltemi's webhook")
    builder = (
        _builder(key, now, now + terms.root)
        .subject_name(name)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return builder.sign(key, hashes.SHA256()), key


def _issue(authority: _Authority, names: frozenset[str], now: datetime, terms: Terms) -> Material:
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + terms.leaf, authority.root.not_valid_after_utc)
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    leaf = (
        _builder(key, now, ends)
        .subject_name(_common_name("meltemi"))
        .issuer_name(authority.root.subject)
        .add_extension(x509.SubjectAlternativeName(_general(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(by, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return Material(_pem([leaf]), _key_pem(key), _pem(authority.known), _key_pem(authority.key))


def _builder(
    key: ec.EllipticCurvePrivateKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in sorted(names):
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
