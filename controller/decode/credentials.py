"""Passwords as users ask for them: by reference to a Secret, or written in plain text.

What asks for a password in a way that cannot be read still asks: nobody passes until it can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from meltemi.controller.decode.notes import UNREADABLE_AUTH, Notes
from meltemi.controller.decode.schema import Spec, convert
from meltemi.protocols.model import PlainCredentials, SecretRef, UnreadableCredentials

if TYPE_CHECKING:
    from meltemi.protocols.model import Credentials

PLAIN_TEXT = "MEL0404"


class SecretAuth(Spec, frozen=True):
    """Which Secret of the object's namespace holds the password."""

    name: str
    password_field: str = ""
    username_field: str = ""


class PlainAuth(Spec, frozen=True):
    """The password itself."""

    password: str
    username: str = ""


class Auth(Spec, frozen=True):
    """One of both."""

    secret: SecretAuth | None = None
    plain: PlainAuth | None = None


def credentials(written: object, field: str, notes: Notes) -> Credentials | None:
    """What ``field`` asks for, which is UNSET where it is not written; None if nothing does."""
    auth = None if written is UNSET else _read(written, field, notes)
    unreadable = next((p for p in notes.problems if p.code == UNREADABLE_AUTH), None)
    if unreadable is not None:
        return UnreadableCredentials(unreadable.about)
    if auth is not None and auth.secret is not None:
        return SecretRef(
            namespace=notes.ref.namespace,
            name=auth.secret.name,
            ref=notes.ref.at(f"{field}.secret"),
            password_key=auth.secret.password_field or "password",
            username_key=auth.secret.username_field or "username",
        )
    if auth is not None and auth.plain is not None:
        notes.add(
            PLAIN_TEXT,
            f"{field}.plain",
            "everybody who can read this object can read the password",
            "put it into a Secret and name that in auth.secret.name",
        )
        return PlainCredentials(
            ref=notes.ref.at(f"{field}.plain"),
            password=auth.plain.password.strip(),
            username=auth.plain.username.strip(),
        )
    return None


def _read(written: object, field: str, notes: Notes) -> Auth | None:
    """The notes say what is wrong with it, down to a misspelt member: it may be the one that
    counts.
    """
    found = Notes(notes.ref)
    auth = convert(written, Auth, found, field)
    if auth is not None:
        _check(auth, field, found)
    for problem in found.problems:
        cause = f"{problem.cause}: what it guards is locked"
        notes.add(UNREADABLE_AUTH, problem.about.field, cause, problem.next_step)
    return auth


def _check(auth: Auth, field: str, notes: Notes) -> None:
    if (auth.secret is None) == (auth.plain is None):
        notes.wrong(field, f"{field} needs either secret or plain", "write exactly one of both")
    elif auth.secret is not None and not auth.secret.name:
        notes.missing(f"{field}.secret.name", "name the Secret")
    elif auth.plain is not None and not auth.plain.password.strip():
        notes.wrong(f"{field}.plain.password", "the password is empty", "write one")
