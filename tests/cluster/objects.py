"""Objects for a real API server, made as a user makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meltemi.controller.sources.kube.kinds import WATCHED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubernetes.aio.client import ApiClient

    from meltemi.controller.sources.kube.kinds import Kind

KINDS: Mapping[str, Kind] = {kind.kind: kind for kind in WATCHED}
MANAGER = "tests"


async def apply(api: ApiClient, body: Mapping[str, Any]) -> None:
    """Create or change an object by server-side apply."""
    await _request(api, "PATCH", _path(body), body)


async def delete(api: ApiClient, kind: str, namespace: str, name: str) -> None:
    await _request(api, "DELETE", f"{KINDS[kind].path(_version(kind), namespace)}/{name}")


def service(namespace: str, name: str, port: int = 80) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"ports": [{"name": "tcp-dubbo", "port": port}]},
    }


def router(namespace: str, name: str, host: str = "shop.example") -> dict[str, Any]:
    return {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"hosts": [host], "routes": [{"name": "r", "route": [_destination(host)]}]},
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


def _destination(host: str) -> dict[str, Any]:
    return {"destination": {"host": host, "port": {"number": 20880}}}


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


async def _request(api: Any, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
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
    assert answer.status < 300, f"{method} {path}: {answer.status} {answer.data!r}"
