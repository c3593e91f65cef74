"""How the webhook is secured and registered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meltemi.controller.store.hosts import DOMAIN, canonical_ip, flaw
from meltemi.controller.webhook.registration import FAIL, IGNORE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.controller.kube.instance import Instance

REVIEWERS = 512
"""Connections at once. An API server has one for each review under way, and by default takes no
more than some hundred changes at once.
"""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """PEM files that somebody else keeps up to date. ``roots``: of who signed the certificate,
    None where somebody else writes them into the configuration as well.
    """

    certificate: Path
    key: Path
    roots: Path | None = None


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """``files`` None: Meltemi makes certificates itself, for the Service's names and these other
    ``names``. ``policy``: the ``failurePolicy`` once the webhook has proven to work.
    """

    files: CertificateFiles | None = None
    names: frozenset[str] = frozenset()
    policy: str = FAIL


def webhook_settings(environment: Mapping[str, str], prefix: str) -> WebhookSettings:
    """From ``WEBHOOK_CERT``, ``_KEY``, ``_CA``, ``_SANS`` and ``_FAILURE_POLICY`` after the prefix.

    Raises:
        ValueError: with a sentence that names the setting and what may be written.
    """
    names = [f"{prefix}WEBHOOK_{each}" for each in ("CERT", "KEY", "CA")]
    certificate, key, roots = [Path(text) if (text := environment.get(n)) else None for n in names]
    if (certificate is None) != (key is None):
        lacking, given = names[:2] if certificate is None else reversed(names[:2])
        raise ValueError(f"{lacking} is not set, and {given} is: set both, or none")
    if certificate is None and roots is not None:
        raise ValueError(f"{names[2]} is set, and {names[0]} is not: set both, or none")
    files = None
    if certificate is not None and key is not None:
        files = CertificateFiles(certificate, key, roots)
    name = f"{prefix}WEBHOOK_FAILURE_POLICY"
    policy = environment.get(name, FAIL)
    if policy not in {FAIL, IGNORE}:
        raise ValueError(f"{name} is {policy!r}: write {FAIL} or {IGNORE}")
    return WebhookSettings(files, _names(environment, f"{prefix}WEBHOOK_SANS"), policy)


def service_names(instance: Instance) -> frozenset[str]:
    """What the API server calls the Service in front of the replicas."""
    return frozenset(
        f"{instance.service}.{instance.namespace}.{domain}" for domain in ("svc", DOMAIN)
    )


def _names(environment: Mapping[str, str], setting: str) -> frozenset[str]:
    found = frozenset(environment.get(setting, "").replace(",", " ").split())
    for name in found:
        if canonical_ip(name) is None and flaw(name) is not None:
            raise ValueError(
                f"{setting} has {name!r}: write DNS names and IP addresses, with commas between"
            )
    return frozenset(canonical_ip(name) or name.lower() for name in found)
