"""The replicas: a Deployment that changes without a gap, and how many may be away at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.controller.manifests.manifest import LABELS, Manifest, metadata
from meltemi.controller.manifests.ports import PORTS, ports
from meltemi.controller.manifests.wish import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.manifests.wish import Wish

SELECTOR: Body = {"app.kubernetes.io/name": NAME}

GRACE_S = 20
"""Seconds in which open streams are moved to other replicas."""

KILLED_S = GRACE_S + 10
"""Seconds until the kubelet kills what is still there."""

USER = 65532
TLS = "/etc/meltemi/tls"
ADMIN = "/etc/meltemi/admin"

DEPLOYMENT = (
    "The Secret {tls} has tls.crt, tls.key and ca.crt: this server's certificate and key, and the "
    "authorities that sign the certificates of proxies. Pods wait until it is there. With "
    "cert-manager: a Certificate with secretName {tls}, dnsNames [{name}.{namespace}.svc] and uris "
    "[spiffe://cluster.local/ns/{namespace}/sa/{name}]."
)


def workload(wish: Wish) -> Iterator[Manifest]:
    """The Deployment and its PodDisruptionBudget."""
    known = {"tls": wish.tls, "name": NAME, "namespace": wish.namespace}
    spec: Body = {
        "replicas": wish.replicas,
        "selector": {"matchLabels": {**SELECTOR}},
        # A new replica serves before an old one goes.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "template": {
            "metadata": {"labels": {**LABELS, "sidecar.istio.io/inject": "false"}},
            "spec": pod(wish),
        },
    }
    yield Manifest(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata(NAME, wish.namespace),
            "spec": spec,
        },
        DEPLOYMENT.format(**known),
    )
    yield Manifest(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(NAME, wish.namespace),
            "spec": {
                "maxUnavailable": 1,
                "selector": {"matchLabels": {**SELECTOR}},
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        },
        "Nodes are drained one replica after the other.",
    )


def pod(wish: Wish) -> Body:
    """What each replica runs. It fits the Pod Security level `restricted`."""
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": True,
        # A Service named meltemi would set MELTEMI_PORT and more for every container.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": KILLED_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            _spread("topology.kubernetes.io/zone"),
            _spread("kubernetes.io/hostname"),
        ],
        "containers": [_container(wish)],
        "volumes": [_volume(name, secret) for name, secret, _ in _mounted(wish)],
    }


def _container(wish: Wish) -> Body:
    return {
        "name": NAME,
        "image": wish.image,
        "args": arguments(wish),
        "env": _environment(wish),
        "ports": [{"name": name, "containerPort": PORTS[name].container} for name in ports(wish)],
        "livenessProbe": _probe("/healthz", failures=6),
        "readinessProbe": _probe("/readyz", failures=2),
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi"},
            # No limit of CPU: whoever is throttled is late everywhere.
            "limits": {"memory": "1Gi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": name, "mountPath": path, "readOnly": True} for name, _, path in _mounted(wish)
        ],
    }


def arguments(wish: Wish) -> list[str]:
    """After ``meltemi``."""
    found = [
        "serve",
        "--kube",
        *(f"--namespace={each}" for each in wish.watched),
        f"--tls-cert={TLS}/tls.crt",
        f"--tls-key={TLS}/tls.key",
        f"--client-ca={TLS}/ca.crt",
    ]
    return found + [f"--{name}=0.0.0.0:{PORTS[name].container}" for name in ports(wish)]


def _environment(wish: Wish) -> list[Body]:
    found: list[Body] = [
        _of_pod("MELTEMI_POD_NAME", "metadata.name"),
        _of_pod("MELTEMI_POD_NAMESPACE", "metadata.namespace"),
        {"name": "MELTEMI_GRACE", "value": str(GRACE_S)},
    ]
    if wish.admin_tokens:
        found.append({"name": "MELTEMI_ADMIN_TOKEN_FILE", "value": f"{ADMIN}/tokens"})
    return found


def _of_pod(name: str, field: str) -> Body:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field}}}


def _mounted(wish: Wish) -> Iterator[tuple[str, str, str]]:
    """Volume, Secret, folder."""
    yield "tls", wish.tls, TLS
    if wish.admin_tokens:
        yield "admin", wish.admin_tokens, ADMIN


def _volume(name: str, secret: str) -> Body:
    return {"name": name, "secret": {"secretName": secret}}


def _probe(path: str, failures: int) -> Body:
    return {
        "httpGet": {"path": path, "port": "admin"},
        "periodSeconds": 5,
        "timeoutSeconds": 3,
        "failureThreshold": failures,
    }


def _spread(key: str) -> Body:
    return {
        "topologyKey": key,
        "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {**SELECTOR}},
        "matchLabelKeys": ["pod-template-hash"],
    }
