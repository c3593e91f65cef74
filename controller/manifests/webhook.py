"""The registration of the admission webhook."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from meltemi.controller.crds.definitions import DEFINITIONS, VERSION
from meltemi.controller.manifests.manifest import Manifest, metadata
from meltemi.controller.manifests.ports import PORTS
from meltemi.controller.manifests.rules import WEBHOOK_SECRET
from meltemi.controller.manifests.wish import NAME
from meltemi.controller.webhook.registration import IGNORE, WEBHOOK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.manifests.wish import Wish

TIMEOUT_S = 5

SECRET = (
    "The replicas put the certificate of the webhook here, and renew it. It is empty at first, so "
    "that they need no right to create Secrets; to apply this again changes nothing in it."
)
CONFIGURATION = (
    "The replicas put their authority into caBundle, and Fail into failurePolicy as soon as they "
    "answer: until then, and while this is new, nobody is kept from applying rules."
)


def webhook(wish: Wish) -> Iterator[Manifest]:
    """The Secret of its certificate and the ValidatingWebhookConfiguration, if it is wanted."""
    if not wish.webhook:
        return
    yield Manifest(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(WEBHOOK_SECRET, wish.namespace),
        },
        SECRET,
    )
    service = {
        "name": NAME,
        "namespace": wish.namespace,
        "path": "/validate",
        "port": PORTS["webhook"].service,
    }
    asked: Body = {
        "name": WEBHOOK,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": service},
        **_where(wish),
        "rules": asked_about(),
        "failurePolicy": IGNORE,
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_S,
    }
    yield Manifest(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": metadata(NAME),
            "webhooks": [asked],
        },
        CONFIGURATION,
    )


def asked_about() -> list[Body]:
    """The rules of the webhook: our kinds, and no others."""
    by_group: defaultdict[str, list[str]] = defaultdict(list)
    for each in DEFINITIONS:
        if each.decoded is not None:
            by_group[each.group].append(each.plural)
    return [
        {
            "apiGroups": [group],
            "apiVersions": [VERSION],
            "operations": ["CREATE", "UPDATE"],
            "resources": plurals,
        }
        for group, plurals in by_group.items()
    ]


def _where(wish: Wish) -> Body:
    if not wish.watched:
        return {}
    name = "kubernetes.io/metadata.name"
    watched = {"key": name, "operator": "In", "values": [*wish.watched]}
    return {"namespaceSelector": {"matchExpressions": [watched]}}
