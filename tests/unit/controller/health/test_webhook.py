"""Whether the API server can believe the webhook, and gets answers."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from meltemi.controller.health.result import State
from meltemi.controller.health.webhook import Registered, webhook_results
from meltemi.controller.webhook.certificates import Action, Material, carry_out

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = frozenset({"meltemi.meltemi-system.svc"})
MATERIAL = carry_out(Action.ROTATE, None, NAMES, NOW)


def configuration(roots: bytes = MATERIAL.roots, policy: str = "Fail") -> dict[str, Any]:
    webhook = {
        "name": "validate.meltemi.io",
        "clientConfig": {"caBundle": b64encode(roots).decode()},
        "failurePolicy": policy,
    }
    return {"webhooks": [{"name": "somebody.else"}, webhook]}


def judged(
    configuration: dict[str, Any] | None,
    material: Material | None = MATERIAL,
    unreachable: str = "",
    after: timedelta = timedelta(),
) -> tuple[State, str]:
    (found,) = webhook_results(Registered(configuration, material, unreachable), NOW + after)
    assert found.check == "webhook"
    assert found.hint or found.state is State.FINE
    return found.state, found.text


def test_one_that_is_believed_and_answers_is_fine() -> None:
    assert judged(configuration())[0] is State.FINE
    assert judged(configuration())[1].endswith("when nobody can, refused")
    assert judged(configuration(policy="Ignore"))[1].endswith("stored anyway (Ignore)")


def test_none_is_fine_too() -> None:
    assert judged(None)[0] is State.FINE


def test_a_configuration_of_another_webhook_only_is_an_error() -> None:
    assert judged({"webhooks": [{"name": "somebody.else"}]})[0] is State.ERROR


def test_whoever_trusts_nobody_is_an_error() -> None:
    for roots in (b"", b"garbled"):
        state, text = judged(configuration(roots))
        assert (state, "trusts nobody" in text) == (State.ERROR, True)
    garbled = configuration()
    garbled["webhooks"][1]["clientConfig"]["caBundle"] = "?"
    assert judged(garbled)[0] is State.ERROR


def test_a_bundle_of_another_authority_is_an_error() -> None:
    other = carry_out(Action.ROTATE, None, NAMES, NOW)
    state, text = judged(configuration(other.roots))
    assert (state, "has not signed its certificate" in text) == (State.ERROR, True)
    both = configuration(other.roots + MATERIAL.roots)
    assert judged(both)[0] is State.FINE


def test_an_expired_certificate_is_an_error_and_a_late_renewal_a_warning() -> None:
    assert judged(configuration(), after=timedelta(days=75))[0] is State.FINE
    assert judged(configuration(), after=timedelta(days=80))[0] is State.WARNING
    state, text = judged(configuration(), after=timedelta(days=91))
    assert (state, text.startswith("its certificate has expired")) == (State.ERROR, True)
    state, text = judged(configuration(), after=timedelta(days=2000))
    assert (state, "its caBundle has expired" in text) == (State.ERROR, True)


def test_a_secret_without_a_certificate_is_an_error() -> None:
    empty = replace(MATERIAL, certificate=b"")
    assert judged(configuration(), empty) == (
        State.ERROR,
        "there is no certificate in its Secret",
    )


def test_a_certificate_that_others_keep_is_not_looked_at() -> None:
    assert judged(configuration(), None)[0] is State.FINE


def test_who_does_not_answer_keeps_everybody_from_writing_under_fail_only() -> None:
    state, text = judged(configuration(), unreachable="no endpoint")
    assert (state, "nobody can write rules: no endpoint" in text) == (State.ERROR, True)
    state, text = judged(configuration(policy="Ignore"), unreachable="no endpoint")
    assert (state, "stored without being judged" in text) == (State.WARNING, True)
