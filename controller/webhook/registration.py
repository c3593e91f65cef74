"""What Meltemi keeps right in its ValidatingWebhookConfiguration, and nothing else of it."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

from meltemi.controller.kube.mirror import mapping, mappings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.kube.mirror import Body

NAME = "meltemi"
"""Of the configuration."""

WEBHOOK = "validate.meltemi.io"
"""Of the webhook in it: others may stand beside it."""

PATH = f"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{NAME}"

FAIL, IGNORE = "Fail", "Ignore"


class Wanted(NamedTuple):
    """What should stand there; None leaves it as it is. ``roots`` is PEM, ``policy`` the
    ``failurePolicy``.
    """

    roots: bytes | None
    policy: str | None


def corrections(configuration: Body, wanted: Wanted) -> list[Body]:
    """A JSON patch, empty where all is well. It holds for this version of the object only: two
    replicas do not undo each other's work.
    """
    found = [
        operation
        for i, webhook in enumerate(mappings(configuration.get("webhooks")))
        if webhook.get("name") == WEBHOOK
        for operation in _corrections(f"/webhooks/{i}", webhook, wanted)
    ]
    if not found:
        return []
    version = mapping(configuration.get("metadata")).get("resourceVersion")
    return [{"op": "test", "path": "/metadata/resourceVersion", "value": version}, *found]


def _corrections(at: str, webhook: Body, wanted: Wanted) -> Iterator[Body]:
    # "add" replaces what is there.
    if wanted.roots is not None:
        bundle = b64encode(wanted.roots).decode()
        if mapping(webhook.get("clientConfig")).get("caBundle") != bundle:
            yield {"op": "add", "path": f"{at}/clientConfig/caBundle", "value": bundle}
    if wanted.policy is not None and webhook.get("failurePolicy") != wanted.policy:
        yield {"op": "add", "path": f"{at}/failurePolicy", "value": wanted.policy}
