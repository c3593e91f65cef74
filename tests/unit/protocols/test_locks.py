"""Authentication that cannot be had locks; it never opens."""

from __future__ import annotations

from dataclasses import replace

from meltemi.protocols.model import (
    RedisSettings,
    Ref,
    Secret,
    SecretRef,
    UnreadableCredentials,
)
from meltemi.protocols.redis import REDIS_PROXY
from meltemi.xds.resource import LISTENER
from tests import make

REF = Ref("RedisService", "default", "shop")
WANTED = SecretRef("default", "password", REF.at("spec.settings.auth.secret"))
SETTINGS = RedisSettings(REF, (make.host(),), auth=WANTED)
(FILTER,) = REDIS_PROXY.requires


def test_a_proxy_that_cannot_ask_for_the_password_gets_no_listener() -> None:
    mesh = make.mesh(make.service(protocol="redis"), SETTINGS)
    group = make.group(proxy=make.capability(FILTER))
    snapshot = make.snapshot(mesh, group)
    assert not snapshot.of_type(LISTENER)
    assert "MEL0408" in make.codes(mesh, group)


def test_without_a_password_the_same_proxy_passes_connections_through() -> None:
    mesh = make.mesh(make.service(protocol="redis"), replace(SETTINGS, auth=None))
    group = make.group(proxy=make.capability(FILTER))
    assert make.snapshot(mesh, group).of_type(LISTENER)


def test_credentials_that_cannot_be_read_lock() -> None:
    unreadable = replace(SETTINGS, auth=UnreadableCredentials(REF.at("spec.settings.auth")))
    snapshot = make.snapshot(make.mesh(make.service(protocol="redis"), unreadable))
    (listener,) = snapshot.of_type(LISTENER).values()
    assert b"locked" in listener.body


def test_what_is_lacking_is_told() -> None:
    def cause(*secrets: Secret) -> str:
        mesh = make.mesh(make.service(protocol="redis"), SETTINGS, *secrets)
        (problem,) = (p for p in make.problems(mesh) if p.code == "MEL0403")
        return problem.cause

    def secret(**data: str) -> Secret:
        return Secret(Ref("Secret", "default", "password"), data)

    assert cause() == "Secret default/password does not exist: every client is refused"
    assert "has no key 'password'" in cause(secret(other="x"))
    assert "is empty" in cause(secret(password=""))
