"""The admission webhook as the API server sees it: whom it trusts, and whether that is us."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509

from meltemi.controller.health.certificates import lapse
from meltemi.controller.health.result import error, fine, warning
from meltemi.controller.kube.mirror import mapping, mappings
from meltemi.controller.webhook.certificates import is_usable
from meltemi.controller.webhook.registration import FAIL, WEBHOOK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from meltemi.controller.health.result import Result
    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.webhook.certificates import Material

INSTALL = "meltemi manifests webhook | kubectl apply -f -"
REPAIR = (
    "let replicas run with --webhook: they put it right within seconds; if they run, their log "
    "says why not (webhook.unregistered, webhook.unmaintained)"
)
REACH = "let replicas run with --webhook, and look at the Service meltemi and its endpoints"


@dataclass(frozen=True, slots=True)
class Registered:
    """``configuration`` is the ValidatingWebhookConfiguration, None where there is none.
    ``material`` is what its Secret has, None where others keep the certificate. ``unreachable``:
    why nobody answers, empty where somebody does or that cannot be found out from here.
    """

    configuration: Body | None
    material: Material | None = None
    unreachable: str = ""


def entry(configuration: Body) -> Body | None:
    """Our webhook in it."""
    found = mappings(configuration.get("webhooks"))
    return next((each for each in found if each.get("name") == WEBHOOK), None)


def bundle(webhook: Body) -> bytes:
    """PEM of whom the API server trusts; empty where that cannot be read."""
    text = str(mapping(webhook.get("clientConfig")).get("caBundle") or "")
    try:
        return b64decode(text, validate=True)
    except Base64Error:
        return b""


def webhook_results(registered: Registered, now: datetime) -> Iterator[Result]:
    """One line, for what is worst."""
    if registered.configuration is None:
        yield fine("webhook", "it is not installed: rules are judged once they are stored", INSTALL)
        return
    webhook = entry(registered.configuration)
    if webhook is None:
        yield error("webhook", f"its configuration has no webhook {WEBHOOK}", INSTALL)
        return
    if (flaw := _flaw(webhook, registered.material, now)) is not None:
        yield error("webhook", flaw, REPAIR)
        return
    fails = webhook.get("failurePolicy") == FAIL
    if registered.unreachable:
        then = "nobody can write rules" if fails else "rules are stored without being judged"
        text = f"nobody answers the API server, so {then}: {registered.unreachable}"
        yield (error if fails else warning)("webhook", text, REACH)
        return
    if (soon := _soon(registered.material, now)) is not None:
        yield warning("webhook", soon, REPAIR)
        return
    otherwise = "refused" if fails else "stored anyway (Ignore)"
    yield fine("webhook", f"rules are judged before they are stored; when nobody can, {otherwise}")


def _flaw(webhook: Body, material: Material | None, now: datetime) -> str | None:
    """Why the API server cannot believe who answers."""
    trusted = bundle(webhook)
    try:
        roots = x509.load_pem_x509_certificates(trusted)
    except ValueError:
        return "the API server trusts nobody: there is no certificate in its caBundle"
    lapsed = [found for each in roots if (found := lapse(each, now)) is not None]
    if len(lapsed) == len(roots) and all(useless for useless, _ in lapsed):
        return f"the API server trusts nobody: its caBundle {lapsed[0][1]}"
    if material is None:
        return None
    try:
        leaf = x509.load_pem_x509_certificate(material.certificate)
    except ValueError:
        return "there is no certificate in its Secret"
    if (found := lapse(leaf, now)) is not None and found[0]:
        return f"its certificate {found[1]}"
    if not is_usable(replace(material, roots=trusted), now):
        return "the API server does not trust it: its caBundle has not signed its certificate"
    return None


def _soon(material: Material | None, now: datetime) -> str | None:
    if material is None:
        return None
    leaf = x509.load_pem_x509_certificate(material.certificate)
    if (found := lapse(leaf, now)) is None:
        return None
    return f"its certificate {found[1]}, and should have been renewed by now"
