"""What files of TLS are worth."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from meltemi.controller import settings
from meltemi.controller.health.certificates import Pair, certificate_results
from meltemi.controller.health.files import file_results
from meltemi.controller.health.result import Result, State
from tests.certificates import DAY, Authority, Certificate

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY = Authority()
NOW = datetime.now(UTC)
LONG = AUTHORITY.issue(hosts=["meltemi.example"], ends=100 * DAY)


def pair(certificate: Certificate, authorities: bytes | None = None) -> Pair:
    return Pair("--xds", certificate.pem, certificate.key, authorities)


def judged(of: Pair, now: datetime = NOW) -> Result:
    (found,) = certificate_results(of, now)
    return found


def test_one_that_holds_for_long_is_fine_and_says_for_whom() -> None:
    found = judged(pair(LONG, LONG.pem))
    assert found.state is State.FINE
    assert found.text == f"of --xds: for meltemi.example, until {NOW + 100 * DAY:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("begins", "ends", "state", "clause"),
    [
        (-DAY, 15 * DAY, State.FINE, "until"),
        (-DAY, 13 * DAY, State.WARNING, "expires at"),
        (-2 * DAY, -DAY, State.ERROR, "has expired at"),
        (DAY, 100 * DAY, State.ERROR, "is not valid before"),
    ],
)
def test_its_dates_decide(begins: timedelta, ends: timedelta, state: State, clause: str) -> None:
    found = judged(pair(AUTHORITY.issue(hosts=["a"], begins=begins, ends=ends)))
    assert (found.state, found.check) == (state, "certificates")
    assert clause in found.text


def test_every_certificate_of_a_chain_counts() -> None:
    soon = AUTHORITY.issue(hosts=["a"], ends=DAY)
    assert judged(replace(pair(LONG), certificate=LONG.pem + soon.pem)).state is State.WARNING


def test_what_does_not_belong_together_or_cannot_be_read_is_an_error() -> None:
    other = AUTHORITY.issue(hosts=["a"])
    wrong = [
        replace(pair(LONG), key=other.key),
        replace(pair(LONG), key=LONG.encrypted("secret")),
        replace(pair(LONG), key=b"key"),
        replace(pair(LONG), certificate=b""),
        pair(LONG, b"nobody"),
    ]
    assert [judged(each).state for each in wrong] == [State.ERROR] * len(wrong)
    assert judged(wrong[0]).text.endswith("the key is another one than the certificate's")


def test_one_that_names_nobody_is_a_warning() -> None:
    found = judged(pair(AUTHORITY.issue(ends=100 * DAY)))
    assert (found.state, "no subject alternative name" in found.text) == (State.WARNING, True)


def test_an_expired_authority_of_clients_is_an_error_only_where_there_is_no_other() -> None:
    old = AUTHORITY.issue(begins=-2 * DAY, ends=-DAY)
    assert judged(pair(LONG, old.pem + LONG.pem)).state is State.WARNING
    assert judged(pair(LONG, old.pem)).state is State.ERROR
    assert judged(pair(LONG, old.pem)).about == "--xds's clients"


def test_files_that_settings_name_are_read(tmp_path: Path) -> None:
    names = ("MELTEMI_TLS_CERT", "MELTEMI_TLS_KEY", "MELTEMI_CLIENT_CA")
    given = {name: str(tmp_path / name) for name in names}
    for name, content in zip(names, (LONG.pem, LONG.key, LONG.pem), strict=True):
        (tmp_path / name).write_bytes(content)
    of_admin = {
        "MELTEMI_ADMIN_TLS_CERT": given[names[0]],
        "MELTEMI_ADMIN_TLS_KEY": given[names[1]],
    }
    found = [*file_results(settings.read(given | of_admin), NOW)]
    assert [(each.about, each.state) for each in found] == [
        ("--xds", State.FINE),
        ("--admin", State.FINE),
    ]
    (tmp_path / names[1]).unlink()
    (lacking,) = file_results(settings.read(given), NOW)
    assert lacking.state is State.ERROR
    assert lacking.text == (
        f"of --xds: {given[names[1]]} cannot be read: No such file or directory"
    )


def test_files_of_the_other_ports_are_read_as_well(tmp_path: Path) -> None:
    certificate, key = tmp_path / "crt", tmp_path / "key"
    certificate.write_bytes(LONG.pem)
    key.write_bytes(LONG.key)
    configured = settings.read(
        {
            "MELTEMI_TLS_CERT": str(certificate),
            "MELTEMI_TLS_KEY": str(key),
            "MELTEMI_TOKEN_XDS": "127.0.0.1:18001",
            "MELTEMI_WEBHOOK_CERT": str(certificate),
            "MELTEMI_WEBHOOK_KEY": str(key),
        }
    )
    found = [*file_results(configured, NOW)]
    assert [each.about for each in found] == ["--token-xds", "--webhook"]


def test_without_files_there_is_nothing_to_mend() -> None:
    (found,) = file_results(settings.read({}), NOW)
    assert found.state is State.FINE
