"""How the replicas are reached, and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.controller.manifests.manifest import Manifest, metadata
from meltemi.controller.manifests.ports import PORTS, ports
from meltemi.controller.manifests.wish import NAME
from meltemi.controller.manifests.workload import SELECTOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.manifests.wish import Wish

ADMIN_NAMESPACES = {"meltemi.io/admin": "true"}
"""Labels of a namespace whose pods may reach the admin port."""

NETWORK = (
    "Proxies come from the whole cluster: add an ipBlock for those outside of it. The admin port "
    "is for namespaces with the label meltemi.io/admin=true, such as that of Prometheus. The API "
    "server cannot be selected, so the webhook is open; it tells nobody anything. Kubelets are "
    "always let in."
)


def network(wish: Wish) -> Iterator[Manifest]:
    """The Service and the NetworkPolicy."""
    wanted = ports(wish)
    yield Manifest(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(NAME, wish.namespace),
            "spec": {
                "selector": dict(SELECTOR),
                "ports": [_of_service(name) for name in wanted],
            },
        }
    )
    yield Manifest(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(NAME, wish.namespace),
            "spec": {
                "podSelector": {"matchLabels": {**SELECTOR}},
                "policyTypes": ["Ingress"],
                "ingress": _ingress(wanted),
            },
        },
        NETWORK,
    )


def _of_service(name: str) -> Body:
    return {"name": name, "port": PORTS[name].service, "targetPort": name}


def _ingress(wanted: tuple[str, ...]) -> list[Body]:
    for_proxies = [name for name in wanted if name.endswith("xds")]
    found: list[Body] = [
        _from({"namespaceSelector": {}}, *for_proxies),
        _from({"namespaceSelector": {"matchLabels": {**ADMIN_NAMESPACES}}}, "admin"),
    ]
    if "webhook" in wanted:
        found.append({"ports": [{"port": "webhook"}]})
    return found


def _from(peer: Body, *names: str) -> Body:
    return {"from": [peer], "ports": [{"port": name} for name in names]}
