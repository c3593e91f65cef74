"""Where the admin port may listen, and what is set for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from meltemi.controller.admin.security import AdminSecurity, admin_security
from meltemi.xds.loopback import is_loopback

TOKENS = AdminSecurity(Path("tokens"))


def test_nothing_needs_to_be_set() -> None:
    assert admin_security({}, "X_") == AdminSecurity()


def test_files_are_taken_from_the_environment() -> None:
    given = {"X_ADMIN_TOKEN_FILE": "t", "X_ADMIN_TLS_CERT": "c", "X_ADMIN_TLS_KEY": "k"}
    assert admin_security(given, "X_") == AdminSecurity(Path("t"), Path("c"), Path("k"))


@pytest.mark.parametrize(
    ("given", "lacking"),
    [("X_ADMIN_TLS_CERT", "X_ADMIN_TLS_KEY"), ("X_ADMIN_TLS_KEY", "X_ADMIN_TLS_CERT")],
)
def test_half_of_a_certificate_is_told(given: str, lacking: str) -> None:
    with pytest.raises(ValueError, match=f"{lacking} is not set, and {given} is"):
        admin_security({given: "file"}, "X_")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "meltemi.example"])
def test_off_loopback_it_is_closed_without_tokens(host: str) -> None:
    assert AdminSecurity().closed(host)
    assert not TOKENS.closed(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_loopback_it_is_open(host: str) -> None:
    assert is_loopback(host)
    assert not AdminSecurity().closed(host)
