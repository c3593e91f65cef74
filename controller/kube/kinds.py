"""What is watched in a cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. ``versions`` best first: the first that the API server has is read.

    ``required``: without it nothing can be served; every other kind may be absent, or denied.
    """

    group: str
    kind: str
    plural: str
    versions: tuple[str, ...] = ("v1alpha1",)
    namespaced: bool = True
    required: bool = False

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
    Kind("discovery.k8s.io", "EndpointSlice", "endpointslices", ("v1",), required=True),
    Kind("networking.istio.io", "ServiceEntry", "serviceentries", _ISTIO),
    Kind("networking.istio.io", "WorkloadEntry", "workloadentries", _ISTIO),
    Kind("networking.istio.io", "VirtualService", "virtualservices", _ISTIO),
    Kind("networking.istio.io", "DestinationRule", "destinationrules", _ISTIO),
    Kind("metaprotocol.aeraki.io", "MetaRouter", "metarouters"),
    Kind("metaprotocol.aeraki.io", "ApplicationProtocol", "applicationprotocols", namespaced=False),
    Kind("redis.aeraki.io", "RedisService", "redisservices"),
    Kind("redis.aeraki.io", "RedisDestination", "redisdestinations"),
    Kind("meltemi.io", "KafkaCluster", "kafkaclusters"),
)
