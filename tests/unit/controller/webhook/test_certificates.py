"""When the webhook's certificate and its authority are renewed, and that nobody is ever refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from hypothesis import given, settings
from hypothesis import strategies as st

from meltemi.controller.webhook.certificates import (
    KEEP,
    ROOTS,
    SKEW,
    TERMS,
    Action,
    Material,
    carry_out,
    plan,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAME = "meltemi.meltemi-system.svc"
NAMES = frozenset({NAME, "127.0.0.1"})
SECOND = timedelta(seconds=1)


def new(now: datetime = NOW, names: frozenset[str] = NAMES) -> Material:
    return carry_out(Action.ROTATE, None, names, now)


def looked_after(material: Material | None, now: datetime) -> Material:
    """As a replica leaves it that looks at it now."""
    return carry_out(plan(material, NAMES, now).action, material, NAMES, now)


def action(material: Material | None, now: datetime) -> Action:
    return plan(material, NAMES, now).action


def roots(material: Material) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(material.roots)


def leaf(material: Material) -> x509.Certificate:
    return x509.load_pem_x509_certificate(material.certificate)


def accepts(trusted: bytes, served: Material, now: datetime, name: str = NAME) -> bool:
    """Whether a client that is strict about RFC 5280 takes what is served."""
    store = Store(x509.load_pem_x509_certificates(trusted))
    verifier = PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(leaf(served), [])
    except VerificationError:
        return False
    return True


def test_what_is_made_anew_is_kept_and_accepted_for_each_of_its_names() -> None:
    made = new()
    assert plan(made, NAMES, NOW) == KEEP
    assert accepts(made.roots, made, NOW)
    assert not accepts(made.roots, made, NOW, "another.meltemi-system.svc")
    names = leaf(made).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1")]


def test_an_authority_made_elsewhere_accepts_nothing_of_ours() -> None:
    assert not accepts(new().roots, new(), NOW)


def test_a_clock_that_is_an_hour_behind_takes_the_certificate() -> None:
    made = new()
    assert accepts(made.roots, made, NOW - SKEW)
    assert plan(made, NAMES, NOW - SKEW) == KEEP
    assert not accepts(made.roots, made, NOW - SKEW - SECOND)


def test_the_certificate_is_renewed_after_two_thirds_of_its_life_by_the_same_authority() -> None:
    made = new()
    due = NOW + TERMS.leaf * 2 / 3
    assert action(made, due - SECOND) is Action.KEEP
    assert action(made, due) is Action.RENEW
    renewed = looked_after(made, due)
    assert renewed.roots == made.roots
    assert renewed.key != made.key
    assert action(renewed, due) is Action.KEEP
    assert accepts(made.roots, renewed, due)


def test_a_new_authority_is_published_beside_the_old_one_before_it_signs() -> None:
    made = new()
    due = NOW + TERMS.root * 2 / 3
    current = looked_after(looked_after(made, due - SECOND), due - SECOND)
    assert action(current, due) is Action.ROTATE
    rotated = looked_after(current, due)
    assert rotated.certificate == current.certificate
    assert len(roots(rotated)) == 2
    assert roots(rotated)[1:] == roots(current)
    assert accepts(current.roots, rotated, due)
    assert accepts(rotated.roots, current, due)
    assert action(rotated, due + TERMS.overlap - SECOND) is Action.KEEP
    assert action(rotated, due + TERMS.overlap) is Action.RENEW
    signed = looked_after(rotated, due + TERMS.overlap)
    assert accepts(rotated.roots, signed, due + TERMS.overlap)
    assert not accepts(current.roots, signed, due + TERMS.overlap)


@settings(max_examples=5, deadline=None)
@given(st.lists(st.floats(0.001, 14.0), min_size=120, max_size=160))
def test_who_knows_the_authorities_of_the_last_look_accepts_what_is_served(
    days: list[float],
) -> None:
    """Before and after each look, however irregular they are, over years: twice in the last third
    of a certificate's life is enough.
    """
    now, material = NOW, new()
    for each in days:
        known, now = material.roots, now + timedelta(days=each)
        assert accepts(known, material, now)
        material = looked_after(material, now)
        assert accepts(known, material, now)
        assert accepts(material.roots, material, now)


def test_authorities_that_have_run_out_are_dropped_and_there_are_never_many() -> None:
    material = new()
    for years in range(1, 30):
        material = looked_after(material, NOW + timedelta(days=365 * years))
        assert len(roots(material)) <= ROOTS
    now = NOW + timedelta(days=365 * 29)
    assert all(each.not_valid_after_utc > now - TERMS.root for each in roots(material))


def test_a_name_that_is_lacking_is_a_reason_to_renew() -> None:
    planned = plan(new(), NAMES | {"other.example"}, NOW)
    assert planned == (Action.RENEW, "it is not for other.example")


BROKEN = {
    "no certificate": (replace(new(), certificate=b""), Action.RENEW),
    "a garbled certificate": (replace(new(), certificate=b"-----BEGIN"), Action.RENEW),
    "no key": (replace(new(), key=b""), Action.RENEW),
    "another certificate's key": (replace(new(), key=new().key), Action.RENEW),
    "no roots": (replace(new(), roots=b"nonsense"), Action.ROTATE),
    "no key of the root": (replace(new(), root_key=b""), Action.ROTATE),
    "another root's key": (replace(new(), root_key=new().root_key), Action.ROTATE),
    "nothing": (Material(b"", b"", b"", b""), Action.ROTATE),
    "a foreign authority": (
        replace(new(), roots=(other := new()).roots, root_key=other.root_key),
        Action.RENEW,
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_cannot_be_used_is_made_anew(what: str) -> None:
    material, wanted = BROKEN[what]
    planned = plan(material, NAMES, NOW)
    assert planned.action is wanted
    assert planned.reason
    mended = looked_after(material, NOW)
    assert plan(mended, NAMES, NOW) == KEEP
    assert accepts(mended.roots, mended, NOW)


def test_an_authority_whose_key_is_lost_stays_trusted_while_its_certificate_is_in_use() -> None:
    made = new()
    rotated = looked_after(replace(made, root_key=b""), NOW)
    assert rotated.certificate == made.certificate
    assert accepts(made.roots, rotated, NOW)
    assert roots(rotated)[1:] == roots(made)


def test_a_certificate_that_has_run_out_does_not_wait_for_the_overlap() -> None:
    late = NOW + TERMS.root + timedelta(days=1)
    mended = looked_after(new(), late)
    assert accepts(mended.roots, mended, late)
    assert len(roots(mended)) == 1


def test_what_was_made_by_a_clock_far_ahead_is_replaced() -> None:
    assert action(new(NOW + timedelta(days=3)), NOW) is Action.ROTATE


def test_keys_are_not_printed() -> None:
    assert "PRIVATE" not in repr(new())
