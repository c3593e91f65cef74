"""Authentication that cannot be had locks; it never opens."""

from __future__ import annotations

from dataclasses import replace

from meltemi.protocols.compiler import Compiler
from meltemi.protocols.model import (
    PlainCredentials,
    RedisSettings,
    RedisUpstream,
    Ref,
    Secret,
    SecretRef,
    UnreadableCredentials,
)
from meltemi.protocols.redis import REDIS_PROXY
from meltemi.xds.resource import LISTENER
from tests import make

REF = Ref("RedisService", "default", "shop")
WANTED_REF = Ref("Secret", "default", "password")
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


def test_no_password_is_in_what_anybody_may_read() -> None:
    secret = Secret(WANTED_REF, {"password": "from-a-secret", "username": "ann"})
    upstream = RedisUpstream(
        Ref("RedisDestination", "default", "shop"),
        make.host(),
        auth=PlainCredentials(REF, "written-down", "bob"),
    )
    mesh = make.mesh(make.service(protocol="redis"), SETTINGS, upstream, secret)

    def sent(*, exposed: bool) -> tuple[bytes, list[str]]:
        compiler = Compiler(make.registry(), mesh, exposed=exposed)
        make.run(compiler.open(make.group()))
        snapshot = compiler.group(make.group()).snapshot
        bodies = b"".join(resource.body for resource in make.resources(snapshot).values())
        return bodies, [problem.code for problem in compiler.problems()]

    words = (b"from-a-secret", b"written-down", b"ann", b"bob")
    trusted, codes = sent(exposed=False)
    assert all(word in trusted for word in words)
    assert "MEL0412" not in codes
    public, codes = sent(exposed=True)
    assert not any(word in public for word in words)
    assert b"locked" in public
    assert codes.count("MEL0412") == 2
