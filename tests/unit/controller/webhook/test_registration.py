"""What is changed in the ValidatingWebhookConfiguration, and what is not."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from meltemi.controller.webhook.registration import WEBHOOK, Wanted, corrections

ROOTS = b"-----BEGIN CERTIFICATE-----"
BUNDLE = b64encode(ROOTS).decode()


def configuration(**webhook: object) -> dict[str, Any]:
    written = {"name": WEBHOOK, "clientConfig": {"service": {"name": "meltemi"}}, **webhook}
    return {
        "metadata": {"name": "meltemi", "resourceVersion": "7"},
        "webhooks": [{"name": "another.example", "failurePolicy": "Ignore"}, written],
    }


def test_the_authorities_and_the_policy_of_our_webhook_are_written_and_nothing_else() -> None:
    assert corrections(configuration(failurePolicy="Ignore"), Wanted(ROOTS, "Fail")) == [
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/webhooks/1/clientConfig/caBundle", "value": BUNDLE},
        {"op": "add", "path": "/webhooks/1/failurePolicy", "value": "Fail"},
    ]


def test_what_is_right_is_not_written_again() -> None:
    right = configuration(clientConfig={"caBundle": BUNDLE}, failurePolicy="Fail")
    assert corrections(right, Wanted(ROOTS, "Fail")) == []
    assert corrections(right, Wanted(ROOTS, None)) == []
    assert corrections(right, Wanted(None, "Fail")) == []
    assert corrections(right, Wanted(b"others", "Fail")) != []


def test_what_others_look_after_is_left_alone() -> None:
    foreign = configuration(clientConfig={"caBundle": "of cert-manager"}, failurePolicy="Ignore")
    assert corrections(foreign, Wanted(None, None)) == []


def test_a_configuration_without_our_webhook_is_left_alone() -> None:
    foreign = {"metadata": {"resourceVersion": "7"}, "webhooks": [{"name": "another.example"}]}
    assert corrections(foreign, Wanted(ROOTS, "Fail")) == []
    assert corrections({"metadata": {}}, Wanted(ROOTS, "Fail")) == []
