"""Settings of the webhook."""

from __future__ import annotations

from pathlib import Path

import pytest

from meltemi.controller.kube.instance import Instance
from meltemi.controller.webhook.settings import (
    CertificateFiles,
    WebhookSettings,
    service_names,
    webhook_settings,
)


def test_without_settings_certificates_are_our_own_and_the_policy_is_to_fail() -> None:
    assert webhook_settings({}, "M_") == WebhookSettings(None, frozenset(), "Fail")


def test_files_are_taken_with_and_without_an_authority() -> None:
    given = {"M_WEBHOOK_CERT": "c.pem", "M_WEBHOOK_KEY": "k.pem"}
    assert webhook_settings(given, "M_").files == CertificateFiles(Path("c.pem"), Path("k.pem"))
    files = webhook_settings({**given, "M_WEBHOOK_CA": "ca.pem"}, "M_").files
    assert files is not None
    assert files.roots == Path("ca.pem")


def test_more_names_are_read_in_their_usual_form() -> None:
    found = webhook_settings({"M_WEBHOOK_SANS": "Hook.Example, ::0:1 127.0.0.1,"}, "M_").names
    assert found == {"hook.example", "::1", "127.0.0.1"}


def test_the_service_has_a_short_and_a_long_name() -> None:
    assert service_names(Instance("m-0", "mesh", "meltemi")) == {
        "meltemi.mesh.svc",
        "meltemi.mesh.svc.cluster.local",
    }


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"M_WEBHOOK_CERT": "c"}, "M_WEBHOOK_KEY is not set, and M_WEBHOOK_CERT is"),
        ({"M_WEBHOOK_KEY": "k"}, "M_WEBHOOK_CERT is not set, and M_WEBHOOK_KEY is"),
        ({"M_WEBHOOK_CA": "a"}, "M_WEBHOOK_CA is set, and M_WEBHOOK_CERT is not"),
        ({"M_WEBHOOK_SANS": "a b_/c"}, "M_WEBHOOK_SANS has 'b_/c': write DNS names"),
        ({"M_WEBHOOK_FAILURE_POLICY": "fail"}, "is 'fail': write Fail or Ignore"),
    ],
)
def test_what_cannot_be_used_is_told(environment: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        webhook_settings(environment, "M_")
