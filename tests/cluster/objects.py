"""Objects for a real API server, made as a user makes them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from meltemi.controller.kube.kinds import WATCHED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.aio.client import ApiClient

    from meltemi.controller.kube.kinds import Kind

KINDS: Mapping[str, Kind] = {kind.kind: kind for kind in WATCHED}
MANAGER = "tests"
PATIENCE_S = 30.0


async def apply(api: ApiClient, body: Mapping[str, Any]) -> None:
    """Create or change an object by server-side apply. A kind that was defined a moment ago is
    waited for: the server serves it a little later than it says.
    """
    async with asyncio.timeout(PATIENCE_S):
        # The server tells nobody when it is so far.
        while await _request(api, "PATCH", _path(body), body) == 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def delete(api: ApiClient, kind: str, namespace: str, name: str) -> None:
    path = f"{KINDS[kind].path(_version(kind), namespace)}/{name}"
    assert await _request(api, "DELETE", path) == 200


def service(namespace: str, name: str, port: int = 80) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"ports": [{"name": "tcp-dubbo", "port": port}]},
    }


def entry(namespace: str, name: str, port: int, endpoints: Mapping[str, int]) -> dict[str, Any]:
    """A Dubbo service ``NAME.example`` whose endpoints are ports on loopback, by their version."""
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "hosts": [f"{name}.example"],
            "resolution": "STATIC",
            "ports": [{"number": port, "name": "tcp-dubbo", "protocol": "TCP"}],
            "endpoints": [
                {
                    "address": "127.0.0.1",
                    "labels": {"version": version},
                    "ports": {"tcp-dubbo": target},
                }
                for version, target in endpoints.items()
            ],
        },
    }


def subsets(namespace: str, name: str, *versions: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "host": f"{name}.example",
            "subsets": [{"name": each, "labels": {"version": each}} for each in versions],
        },
    }


def router(namespace: str, name: str, subset: str = "") -> dict[str, Any]:
    """Everything to a subset, or to all endpoints."""
    host = f"{name}.example"
    destination = {"host": host, **({"subset": subset} if subset else {})}
    return {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "hosts": [host],
            "routes": [{"name": "all", "route": [{"destination": destination}]}],
        },
    }


def definition(kind: Kind) -> dict[str, Any]:
    """A CustomResourceDefinition that takes anything."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {"kind": kind.kind, "plural": kind.plural},
            "versions": [
                {
                    "name": kind.versions[0],
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": anything},
                }
            ],
        },
    }


def _version(kind: str) -> str:
    return KINDS[kind].versions[0]


def _path(body: Mapping[str, Any]) -> str:
    metadata = body["metadata"]
    if body["kind"] == "CustomResourceDefinition":
        return f"/apis/{body['apiVersion']}/customresourcedefinitions/{metadata['name']}"
    if body["kind"] == "Namespace":
        return f"/api/v1/namespaces/{metadata['name']}"
    kind = KINDS[body["kind"]]
    return f"{kind.path(_version(body['kind']), metadata.get('namespace', ''))}/{metadata['name']}"


async def _request(api: Any, method: str, path: str, body: Mapping[str, Any] | None = None) -> int:
    """The status; everything but success and 404 fails the test."""
    applied = method == "PATCH"
    query = [("fieldManager", MANAGER), ("force", "true")] if applied else []
    headers = {"Content-Type": "application/apply-patch+yaml"} if applied else {}
    request = await api.param_serialize(
        method,
        path,
        query_params=query,
        header_params=headers,
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = await api.call_api(*request)
    await answer.read()
    status: int = answer.status
    assert status < 300 or status == 404, f"{method} {path}: {status} {answer.data!r}"
    return status


async def send(
    api: Any, method: str, path: str, body: Mapping[str, Any], *, may: tuple[int, ...] = ()
) -> dict[str, Any]:
    """What the server answers; an error fails the test, but one that ``may`` be."""
    request = await api.param_serialize(
        method,
        path,
        header_params={"Content-Type": "application/json"},
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = await api.call_api(*request)
    await answer.read()
    assert answer.status < 300 or answer.status in may, f"{method} {path}: {answer.data!r}"
    found: dict[str, Any] = json.loads(answer.data)
    return found
