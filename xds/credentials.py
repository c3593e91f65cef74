"""TLS, mutual or of the server alone, from files that may be replaced at any time."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from meltemi.xds.peer import UnidentifiedError, identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meltemi.xds.peer import Identity
    from meltemi.xds.stream import Context


SESSIONS = 60.0
"""Seconds for which a TLS session may be resumed, for then nobody looks at the certificate again:
its holder could come back for days after it has expired.
"""


class CertificateError(ValueError):
    """A certificate, key or authority cannot be used. The text names the file and the cause."""


class Pem(NamedTuple):
    """The contents of ``TlsFiles``."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the server's certificate with its chain, its key, and the authorities that sign
    the certificates of proxies; without those nobody is asked for one.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def read(self) -> Pem:
        """What they hold now. Raises OSError."""
        client_ca = None if self.client_ca is None else self.client_ca.read_bytes()
        return Pem(self.certificate.read_bytes(), self.key.read_bytes(), client_ca)

    def check(self) -> None:
        """Let a TLS library look at them: gRPC does so too, but tells nobody what is wrong.

        Raises:
            CertificateError: they cannot be used together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # Without the password it would ask the terminal for one.
            context.load_cert_chain(self.certificate, self.key, password="")
        except OSError as error:  # ssl.SSLError is one
            raise CertificateError(
                f"the certificate {self.certificate} with the key {self.key} cannot be used: "
                f"{error.strerror or error}; write a PEM chain and the unencrypted PEM key of its "
                "first certificate"
            ) from error
        if self.client_ca is None:
            return
        try:
            context.load_verify_locations(self.client_ca)
        except OSError as error:
            raise CertificateError(
                f"the client authorities {self.client_ca} cannot be used: "
                f"{error.strerror or error}; write the PEM certificates of who signs for proxies"
            ) from error


class ServerTls:
    """TLS 1.2 or later, in which peers see who the server is.

    The files are looked at in every handshake, so what replaces them needs no restart; streams
    that are open stay as they are. ``replaced`` hears of that, with an empty text, or with what is
    wrong: then what was in force stays. It is called in a thread of gRPC's.
    """

    def __init__(
        self,
        files: TlsFiles,
        replaced: Callable[[str], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._files = files
        self._replaced = replaced
        self._clock = clock
        self._current = Pem(b"", b"", None)
        self._until = 0.0
        self._wrong = ""

    def server_credentials(self) -> grpc.ServerCredentials:
        """What a port is opened with.

        Raises:
            CertificateError: the files cannot be used.
        """
        self._files.check()
        self._current = self._files.read()
        fetch: Any = self._fetch  # the stubs do not know that None means: as before
        return grpc.dynamic_ssl_server_credentials(
            self._configuration(),
            fetch,
            require_client_authentication=self._files.client_ca is not None,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC in each handshake: what replaces the configuration, if anything."""
        pem = self._changed()
        if pem is not None:
            self._current = pem
            self._tell("")
        elif self._clock() < self._until:
            return None
        return self._configuration()

    def _changed(self) -> Pem | None:
        """What the files hold, if that is new and of use."""
        try:
            pem = self._files.read()
            if pem == self._current:
                return None
            self._files.check()
        except (OSError, CertificateError) as error:
            self._tell(str(error))
            return None
        return pem

    def _tell(self, wrong: str) -> None:
        """Once, not in every handshake."""
        if not wrong or wrong != self._wrong:
            self._replaced(wrong)
        self._wrong = wrong

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        """With keys of its own for the sessions that it grants."""
        self._until = self._clock() + SESSIONS
        certificate, key, client_ca = self._current
        return grpc.ssl_server_certificate_configuration(
            [(key, certificate)], root_certificates=client_ca
        )


class MutualTls(ServerTls):
    """Peers, too, prove who they are: by a certificate of the client authorities."""

    def __init__(
        self,
        files: TlsFiles,
        trust_domain: str,
        replaced: Callable[[str], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(files, replaced, clock)
        self._trust_domain = trust_domain

    def identify(self, context: Context) -> Identity:
        """Who is at the other end of a stream.

        Raises:
            UnidentifiedError: the certificate does not say it, or is of another trust domain.
        """
        raw = context.auth_context().get("peer_uri", ())
        found = identity([uri.decode(errors="replace") for uri in raw])
        if found.trust_domain != self._trust_domain:
            raise UnidentifiedError(
                f"{found} is not of the trust domain {self._trust_domain!r} of this server"
            )
        return found
