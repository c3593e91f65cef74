"""What users write for K Dubbo services: a ServiceEntry with two versions of five endpoints, their
subsets, and a MetaRouter with two routes; and its changes. Every tenth rule splits by weight.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Object = dict[str, Any]

FIRST_PORT = 10_000
VERSIONS = ("v1", "v2")
SPLIT_EVERY = 10


@dataclass(frozen=True, slots=True)
class Rules:
    """Objects as in YAML. ``exported``: the rules' only namespace that may see a service, where
    ``%`` is the service's number; empty for all.
    """

    services: int
    exported: str = ""

    def objects(self) -> Iterator[Object]:
        """Everything, as it is at first."""
        for index in range(self.services):
            yield self._service(index, endpoints=10)
            yield self._subsets(index)
            yield self._rule(index, "first")

    def write(self, path: Path) -> None:
        """Everything, an object in each line."""
        with path.open("w") as file:
            file.writelines(json.dumps(each) + "\n" for each in self.objects())

    def route(self, number: int) -> Object:
        """A rule whose first route matches another method each time."""
        return self._rule(number % self.services, f"method-{number}")

    def endpoint(self, number: int) -> Object:
        """A service with one endpoint more, or less than before."""
        return self._service(number % self.services, endpoints=11 + number // self.services % 2)

    def _rule(self, index: int, method: str) -> Object:
        stable, canary = ({"host": _host(index), "subset": version} for version in VERSIONS)
        weighted = [{"destination": stable, "weight": 80}, {"destination": canary, "weight": 20}]
        return {
            "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
            "kind": "MetaRouter",
            "metadata": {"name": f"svc-{index}", "namespace": "default"},
            "spec": {
                "hosts": [_host(index)],
                "routes": [
                    {
                        "name": "matched",
                        "match": {"attributes": {"method": {"exact": method}}},
                        "route": [{"destination": canary}],
                    },
                    {
                        "name": "rest",
                        "route": [{"destination": stable}] if index % SPLIT_EVERY else weighted,
                    },
                ],
            },
        }

    def _service(self, index: int, *, endpoints: int) -> Object:
        exported = {"exportTo": [self.exported.replace("%", str(index))]} if self.exported else {}
        return {
            "apiVersion": "networking.istio.io/v1",
            "kind": "ServiceEntry",
            "metadata": {"name": f"svc-{index}", "namespace": "default"},
            "spec": {
                "hosts": [_host(index)],
                "resolution": "STATIC",
                "ports": [{"number": FIRST_PORT + index, "name": "tcp-dubbo"}],
                "endpoints": [
                    {
                        "address": f"10.{index >> 8}.{index & 255}.{number + 1}",
                        "labels": {"version": VERSIONS[number % 2]},
                    }
                    for number in range(endpoints)
                ],
                **exported,
            },
        }

    def _subsets(self, index: int) -> Object:
        subsets = [{"name": version, "labels": {"version": version}} for version in VERSIONS]
        return {
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": {"name": f"svc-{index}", "namespace": "default"},
            "spec": {"host": _host(index), "subsets": subsets},
        }


def _host(index: int) -> str:
    return f"svc-{index}.example"
