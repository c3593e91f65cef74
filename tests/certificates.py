"""Certificates of a test's own authority: any names, any validity, and wrong ones on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

DAY = timedelta(days=1)
SERVER_ID = "spiffe://cluster.local/ns/meltemi-system/sa/meltemi"


def spiffe(namespace: str, account: str = "edge", domain: str = "cluster.local") -> str:
    """An identity in the shape in which Istio issues them."""
    return f"spiffe://{domain}/ns/{namespace}/sa/{account}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, both PEM."""

    pem: bytes
    key: bytes

    def encrypted(self, password: str) -> bytes:
        """The key as it is on disk where somebody protects it with a password."""
        key = load_pem_private_key(self.key, None)
        locked = BestAvailableEncryption(password.encode())
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked)


@dataclass(frozen=True, slots=True)
class Files:
    """Where a certificate, its key and the authority of the other side are on disk."""

    certificate: Path
    key: Path
    authority: Path

    def write(self, certificate: Certificate, authority: Authority) -> None:
        """Replace them, the certificate last."""
        replace_file(self.authority, authority.pem)
        replace_file(self.key, certificate.key)
        replace_file(self.certificate, certificate.pem)


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file all at once."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_bytes(content)
    scratch.replace(path)


def files(folder: Path, certificate: Certificate, authority: Authority) -> Files:
    """Write them into a folder, as Kubernetes mounts a Secret."""
    folder.mkdir(parents=True, exist_ok=True)
    written = Files(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
    written.write(certificate, authority)
    return written


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority."""

    name: str = "a test's authority"
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    @property
    def pem(self) -> bytes:
        """Its own certificate."""
        now = datetime.now(UTC)
        builder = _builder(self.name, self.name, self.key.public_key(), now - DAY, now + DAY)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        signed = builder.add_extension(constraints, critical=True).sign(self.key, hashes.SHA256())
        return signed.public_bytes(Encoding.PEM)

    def issue(
        self,
        *,
        uris: Iterable[str] = (),
        hosts: Iterable[str] = (),
        begins: timedelta = -DAY,
        ends: timedelta = DAY,
    ) -> Certificate:
        """A certificate for URIs and for host names or addresses. Validity is told from now on."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        builder = _builder(self.name, "leaf", key.public_key(), now + begins, now + ends)
        names = [*map(x509.UniformResourceIdentifier, uris), *map(_host, hosts)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self.key, hashes.SHA256())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Certificate(signed.public_bytes(Encoding.PEM), private)

    def server(self) -> Certificate:
        """A certificate for Meltemi on this machine."""
        return self.issue(uris=[SERVER_ID], hosts=["localhost", "127.0.0.1"])

    def proxy(self, namespace: str, account: str = "edge") -> Certificate:
        """A certificate for a proxy of a namespace."""
        return self.issue(uris=[spiffe(namespace, account)])


def _builder(
    issuer: str,
    subject: str,
    key: ec.EllipticCurvePublicKey,
    begins: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(_name(issuer))
        .subject_name(_name(subject))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)
