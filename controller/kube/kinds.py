"""What is watched in a cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. ``versions`` best first: the first that the API server has is read.

    ``required``: without it nothing can be served; every other kind may be absent, or denied.
    ``whole``: read only where all namespaces are; else it takes rights that nothing else takes.
    ``selectable``: what users say of traffic, rather than what runs: an operator may give each of
    several Meltemis a part of it.
    """

    group: str
    kind: str
    plural: str
    versions: tuple[str, ...] = ("v1alpha1",)
    namespaced: bool = True
    whole: bool = False
    required: bool = False
    selectable: bool = False

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, version: str, namespace: str = "") -> str:
        """The URL path of its collection; ``namespace`` narrows it to one."""
        root = f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"
        inside = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{inside}/{self.plural}"


_ISTIO = ("v1", "v1beta1", "v1alpha3")

WATCHED = (
    Kind("", "Service", "services", ("v1",), required=True),
    Kind("", "Pod", "pods", ("v1",)),
    Kind("", "Node", "nodes", ("v1",), namespaced=False, whole=True),
    Kind("discovery.k8s.io", "EndpointSlice", "endpointslices", ("v1",), required=True),
    Kind("networking.istio.io", "ServiceEntry", "serviceentries", _ISTIO),
    Kind("networking.istio.io", "WorkloadEntry", "workloadentries", _ISTIO),
    Kind("networking.istio.io", "VirtualService", "virtualservices", _ISTIO, selectable=True),
    Kind("networking.istio.io", "DestinationRule", "destinationrules", _ISTIO, selectable=True),
    Kind("metaprotocol.aeraki.io", "MetaRouter", "metarouters", selectable=True),
    Kind(
        "metaprotocol.aeraki.io",
        "ApplicationProtocol",
        "applicationprotocols",
        namespaced=False,
        selectable=True,
    ),
    Kind("redis.aeraki.io", "RedisService", "redisservices", selectable=True),
    Kind("redis.aeraki.io", "RedisDestination", "redisdestinations", selectable=True),
    Kind("meltemi.io", "KafkaCluster", "kafkaclusters", selectable=True),
)
"""Every object of these, in the namespaces that are looked at."""

SECRETS = Kind("", "Secret", "secrets", ("v1",))
"""One by one, where an object names one. Never listed: who may list Secrets may read them all."""
