"""CustomResourceDefinitions of the kinds that are Meltemi's to define: Aeraki's and its own.

Names, scopes, versions and subresources of Aeraki's kinds are Aeraki's, so that they replace its
definitions in place. Generated from the types in ``decode``; pure and in stable order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from meltemi.controller.crds.checks import (
    APPLICATION_PROTOCOL,
    KAFKA_CLUSTER,
    META_ROUTER,
    REDIS_DESTINATION,
    REDIS_SERVICE,
    STATUS,
)
from meltemi.controller.crds.schema import PRESERVE, Checks, Schema, schema_of
from meltemi.controller.crds.status import Status
from meltemi.controller.decode.application import ApplicationObject
from meltemi.controller.decode.kafka import KafkaObject
from meltemi.controller.decode.metarouter import RouterObject
from meltemi.controller.decode.redis import RedisDestinationObject, RedisServiceObject

if TYPE_CHECKING:
    from meltemi.controller.decode.schema import Spec

OURS = "meltemi"
"""The category of all: ``kubectl get meltemi``."""

VERSION = "v1alpha1"


@dataclass(frozen=True, slots=True)
class Definition:
    """One kind: its names, its own columns for ``kubectl get``, and the type that decodes it.

    ``decoded`` is None of a kind that is not read: everything is accepted.
    """

    group: str
    kind: str
    plural: str
    decoded: type[Spec] | None
    checks: Checks = field(default_factory=Checks)
    columns: tuple[tuple[str, str], ...] = ()
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    namespaced: bool = True

    @property
    def name(self) -> str:
        """``<plural>.<group>``, the name of the definition itself."""
        return f"{self.plural}.{self.group}"

    def to_dict(self) -> Schema:
        """The CustomResourceDefinition."""
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": self.name,
                "labels": {"app.kubernetes.io/part-of": OURS},
                # Whoever removes a chart does not mean everybody's rules.
                "annotations": {"helm.sh/resource-policy": "keep"},
            },
            "spec": {
                "group": self.group,
                "names": self._names(),
                "scope": "Namespaced" if self.namespaced else "Cluster",
                "versions": [self._version()],
            },
        }

    def _names(self) -> Schema:
        short = {"shortNames": [*self.short]} if self.short else {}
        return {
            "kind": self.kind,
            "listKind": f"{self.kind}List",
            "plural": self.plural,
            "singular": self.kind.lower(),
            **short,
            "categories": [OURS, *self.categories],
        }

    def _version(self) -> Schema:
        return {
            "name": VERSION,
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "additionalPrinterColumns": self._columns(),
            "schema": {"openAPIV3Schema": self._schema()},
        }

    def _columns(self) -> list[Schema]:
        own = [_column(name, path) for name, path in self.columns]
        if self.decoded is not None:
            own += [_condition("Accepted"), _condition("Programmed")]
        return [*own, _column("Age", ".metadata.creationTimestamp", "date")]

    def _schema(self) -> Schema:
        decoded: Schema = {"description": f"{self.kind} is not read yet, and has no effect."}
        spec: Schema = {"type": "object", **PRESERVE}
        status: Schema = {"type": "object", **PRESERVE}
        if self.decoded is not None:
            decoded = schema_of(self.decoded, self.checks)
            spec = cast("dict[str, Schema]", decoded["properties"])["spec"]
            status = schema_of(Status, STATUS)
        head: Schema = {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
        }
        return {
            "type": "object",
            **decoded,
            "properties": {**head, "spec": spec, "status": status},
            **PRESERVE,
        }


def _column(name: str, path: str, kind: str = "string") -> Schema:
    return {"name": name, "type": kind, "jsonPath": path}


def _condition(name: str) -> Schema:
    return _column(name, f'.status.conditions[?(@.type=="{name}")].status')


_METAPROTOCOL = ("aeraki-io", "metaprotocol-aeraki-io")
_REDIS = ("redis-aeraki-io",)

DEFINITIONS = (
    Definition(
        group="dubbo.aeraki.io",
        kind="DubboAuthorizationPolicy",
        plural="dubboauthorizationpolicies",
        decoded=None,
        columns=(("Action", ".spec.action"),),
        short=("dap",),
        categories=("aeraki-io", "dubbo-aeraki-io"),
    ),
    Definition(
        group="meltemi.io",
        kind="KafkaCluster",
        plural="kafkaclusters",
        decoded=KafkaObject,
        checks=KAFKA_CLUSTER,
        columns=(("Host", ".spec.host"),),
        short=("mkc",),
    ),
    Definition(
        group="metaprotocol.aeraki.io",
        kind="ApplicationProtocol",
        plural="applicationprotocols",
        decoded=ApplicationObject,
        checks=APPLICATION_PROTOCOL,
        columns=(("Protocol", ".spec.protocol"), ("Codec", ".spec.codec")),
        short=("ap",),
        categories=_METAPROTOCOL,
        namespaced=False,
    ),
    Definition(
        group="metaprotocol.aeraki.io",
        kind="MetaRouter",
        plural="metarouters",
        decoded=RouterObject,
        checks=META_ROUTER,
        columns=(("Hosts", ".spec.hosts"),),
        short=("mr",),
        categories=_METAPROTOCOL,
    ),
    Definition(
        group="redis.aeraki.io",
        kind="RedisDestination",
        plural="redisdestinations",
        decoded=RedisDestinationObject,
        checks=REDIS_DESTINATION,
        columns=(("Host", ".spec.host"),),
        short=("rd",),
        categories=_REDIS,
    ),
    Definition(
        group="redis.aeraki.io",
        kind="RedisService",
        plural="redisservices",
        decoded=RedisServiceObject,
        checks=REDIS_SERVICE,
        columns=(("Hosts", ".spec.host"),),
        short=("rsvc",),
        categories=_REDIS,
    ),
)
"""In order of group and kind."""
