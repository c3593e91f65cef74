"""Files of TLS: what is wrong with them is said before anybody connects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meltemi.xds.credentials import CertificateError, MutualTls, TlsFiles
from tests.certificates import Authority, Files, files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def written(tmp_path: Path) -> Files:
    authority = Authority()
    return files(tmp_path, authority.server(), authority)


def credentials_of(written: Files) -> object:
    files = TlsFiles(written.certificate, written.key, written.authority)
    return MutualTls(files, "cluster.local", lambda _: None).server_credentials()


def test_files_that_belong_together_are_taken(written: Files) -> None:
    assert credentials_of(written)


@pytest.mark.parametrize("name", ["certificate", "key", "authority"])
@pytest.mark.parametrize("content", [None, b"", b"no PEM"])
def test_a_file_that_cannot_be_used_is_named(
    written: Files, name: str, content: bytes | None
) -> None:
    path: Path = getattr(written, name)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(CertificateError, match=f"{path}.* cannot be used: .*; write"):
        credentials_of(written)


def test_a_key_of_another_certificate_is_told(written: Files) -> None:
    written.key.write_bytes(Authority().server().key)
    with pytest.raises(CertificateError, match=r"tls.crt with the key .*tls.key cannot be used"):
        credentials_of(written)


def test_an_encrypted_key_is_told_and_nobody_is_asked_for_its_password(written: Files) -> None:
    written.key.write_bytes(Authority().server().encrypted("secret"))
    with pytest.raises(CertificateError, match="unencrypted PEM key"):
        credentials_of(written)
