"""The service account and its rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.controller.manifests import rules
from meltemi.controller.manifests.manifest import LABELS, Manifest, metadata
from meltemi.controller.manifests.wish import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.manifests.rules import Rule
    from meltemi.controller.manifests.wish import Wish

RBAC = "rbac.authorization.k8s.io"


def rbac(wish: Wish) -> Iterator[Manifest]:
    """The namespace, the service account, and what it may do where."""
    yield namespace(wish)
    yield Manifest(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(NAME, wish.namespace),
            "automountServiceAccountToken": False,
        },
        "Its token is mounted into the pods of the Deployment and nowhere else.",
    )
    yield from _role(wish, wish.namespace, NAME, _own(wish), "In Meltemi's own namespace.")
    for each in wish.watched:
        yield from _role(wish, each, abroad(wish), in_namespaces(), "What is watched.")
    if wish.watched and OF_CLUSTER not in wish.watched:
        yield from _role(wish, OF_CLUSTER, f"{abroad(wish)}:events", (rules.EVENTS,), OTHER_EVENTS)
    yield from _cluster_role(wish)
    for each in sorted({namespace for namespace, _ in wish.secrets}):
        names = tuple(sorted(name for namespace, name in wish.secrets if namespace == each))
        yield from _role(wish, each, f"{abroad(wish)}:secrets", (rules.secrets(names),), SECRETS)


OF_CLUSTER = "default"
OTHER_EVENTS = "Events about objects that belong to no namespace are in this one."
SECRETS = "Passwords that rules of this namespace refer to, by name. No other Secret can be read."


def abroad(wish: Wish) -> str:
    """The name of a role outside of Meltemi's namespace, where there may be those of others."""
    return f"{NAME}:{wish.namespace}"


def in_namespaces() -> tuple[Rule, ...]:
    """Rights in every namespace whose rules are read."""
    return (*rules.reading(namespaced=True), rules.EVENTS)


def namespace(wish: Wish) -> Manifest:
    """The namespace of Meltemi itself, which takes no pod with more rights than it needs."""
    level = "restricted"
    of_pods = {f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "audit", "warn")}
    body = {"name": wish.namespace, "labels": {**LABELS, **of_pods}}
    return Manifest({"apiVersion": "v1", "kind": "Namespace", "metadata": body})


def _own(wish: Wish) -> tuple[Rule, ...]:
    return (*rules.OWN, *((rules.CERTIFICATE,) * wish.webhook))


def _cluster_role(wish: Wish) -> Iterator[Manifest]:
    """What can only be granted for the whole cluster, and all that is watched in it."""
    name = abroad(wish)
    comment = "Kinds that belong to no namespace." if wish.watched else "What is watched."
    everywhere = (*in_namespaces(), *rules.reading(namespaced=False, whole=True))
    granted = (
        *(() if wish.watched else everywhere),
        *rules.reading(namespaced=False),
        *((rules.CONFIGURATION,) * wish.webhook),
        *((rules.REVIEWS,) * wish.tokens),
    )
    yield Manifest(_head("ClusterRole", name, ""), comment, granted)
    yield _binding(wish, "ClusterRole", name, "")


def _role(
    wish: Wish, where: str, name: str, granted: tuple[Rule, ...], comment: str
) -> Iterator[Manifest]:
    yield Manifest(_head("Role", name, where), comment, granted)
    yield _binding(wish, "Role", name, where)


def _head(kind: str, name: str, namespace: str) -> Body:
    return {"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata(name, namespace)}


def _binding(wish: Wish, role: str, name: str, where: str) -> Manifest:
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": wish.namespace}
    return Manifest(
        {
            **_head(f"{role}Binding", name, where),
            "roleRef": {"apiGroup": RBAC, "kind": role, "name": name},
            "subjects": [subject],
        }
    )
