"""What the demo makes in a cluster: definitions of kinds, a namespace, and the objects in it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import yaml

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.kube.api import APPLY, JSON, ApiError
from meltemi.controller.kube.kinds import SECRETS, WATCHED, Kind
from meltemi.controller.sources.files import is_cases
from meltemi.controller.statuses.board import GROUP_OF
from meltemi.demo.choice import ClusterError
from meltemi.demo.conditions import Standing

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path

    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.mirror import Body

MANAGER: Final = "meltemi-demo"
"""Owns the fields that the demo writes, and is part of the names of what it makes."""

ISTIOS: Final = ("ServiceEntry", "DestinationRule")
KINDS: Final = {kind.kind: kind for kind in (*WATCHED, SECRETS)}
LEFT_BY_MELTEMI: Final = (
    Kind("coordination.k8s.io", "Lease", "leases", ("v1",)),
    Kind("events.k8s.io", "Event", "events", ("v1",)),
)
DEFINITION_PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACES: Final = "/api/v1/namespaces"
LABELS: Final = {"app.kubernetes.io/part-of": MANAGER}
ABSENT: Final = frozenset({404})
STARTING: Final = frozenset({404, 429, 503})
"""What is answered for a kind that was defined a moment ago."""

BUSY: Final = frozenset({429, 503})
TRIES: Final = 10
DEFINED_S: Final = 30.0


async def define(api: Api, say: Callable[[str], None]) -> None:
    """Have the cluster know the kinds of the story: ours in the version that is here, those of
    Istio as they are, or as ones that take anything. Raises ClusterError.
    """
    for definition in DEFINITIONS:
        path = f"{DEFINITION_PATH}/{definition.name}"
        try:
            await _apply(api, path, definition.to_dict(), force=False)
        except ApiError as error:
            if error.status != 409:
                raise _refused("PATCH", path, error) from error
            say(
                f"{definition.name} is somebody else's here, and stays as it is: it may not keep "
                "all that its objects' statuses should say"
            )
    for kind in map(KINDS.__getitem__, ISTIOS):
        path = f"{DEFINITION_PATH}/{kind}"
        if await _absent(api, path):
            await _asked(api, "POST", DEFINITION_PATH, _anything(kind))
    for kind in map(KINDS.__getitem__, (*GROUP_OF, *ISTIOS)):
        await _until_served(api, kind)


async def _until_served(api: Api, kind: Kind) -> None:
    """The server serves a kind a little later than it says. Raises ClusterError."""
    try:
        async with asyncio.timeout(DEFINED_S):
            while await _absent(api, _collection(kind, "default"), STARTING):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise ClusterError(
            f"{kind} is defined, but not served as {kind.versions[0]}: update what defines it, or "
            "say --local for an API server of the demo's own"
        ) from error


@asynccontextmanager
async def own_namespace(api: Api, name: str) -> AsyncGenerator[None]:
    """It is made at entry, and emptied and deleted at exit. Raises ClusterError."""
    body = {"metadata": {"name": name, "labels": LABELS}}
    try:
        await _send(api, "POST", NAMESPACES, body)
    except ApiError as error:
        if error.status == 409:
            raise ClusterError(
                f"the namespace {name} exists already: name one that does not, for the demo "
                "deletes it in the end"
            ) from error
        raise _refused("POST", NAMESPACES, error) from error
    try:
        yield
    finally:
        await _remove(api, name)


async def _remove(api: Api, name: str) -> None:
    """Object by object: where no controllers run, nobody empties a namespace that is deleted."""
    kinds = (*map(KINDS.__getitem__, (*GROUP_OF, *ISTIOS)), SECRETS, *LEFT_BY_MELTEMI)
    try:
        for kind in kinds:
            if kind.namespaced:
                await _send(api, "DELETE", _collection(kind, name))
        await _send(api, "DELETE", f"{NAMESPACES}/{name}")
    except ApiError as error:
        raise ClusterError(
            f"the namespace {name} could not be removed: {error}; `kubectl delete namespace "
            f"{name}` does it"
        ) from error


async def apply_files(api: Api, namespace: str, path: Path) -> None:
    """Apply every object of a file or folder, as ``kubectl apply --server-side`` does.

    Raises ClusterError.
    """
    for body in _bodies(path):
        kind, metadata = KINDS[body["kind"]], body["metadata"]
        version = body["apiVersion"].rpartition("/")[2]
        at = f"{kind.path(version, namespace)}/{metadata['name']}"
        try:
            await _apply(api, at, body | {"metadata": metadata | {"namespace": namespace}})
        except ApiError as error:
            raise _refused("PATCH", at, error) from error


def _bodies(path: Path) -> list[dict[str, Any]]:
    files = path.rglob("*.yaml") if path.is_dir() else [path]
    texts = [file.read_text() for file in sorted(files) if not is_cases(file.name)]
    return [body for text in texts for body in yaml.safe_load_all(text)]


async def standing(api: Api, namespace: str) -> list[Standing]:
    """The objects in a namespace that have a status. Raises ClusterError."""
    found: list[Standing] = []
    for kind in (KINDS[each] for each in GROUP_OF):
        if kind.namespaced:
            listed: Any = await _asked(api, "GET", _collection(kind, namespace))
            found += [
                Standing(f"{kind.kind.lower()}/{each['metadata']['name']}", each)
                for each in listed["items"]
            ]
    return found


async def _apply(api: Api, path: str, body: object, *, force: bool = True) -> None:
    query = {"fieldManager": MANAGER, "force": str(force).lower()}
    await _send(api, "PATCH", path, body, query=query, content_type=APPLY)


async def _send(
    api: Api,
    method: str,
    path: str,
    body: object = None,
    *,
    query: Mapping[str, str] | None = None,
    content_type: str = JSON,
) -> Body:
    """A request, made again while the server has too much to do. Raises ApiError."""
    for _ in range(TRIES):
        try:
            return await api.send(method, path, body, query=query, content_type=content_type)
        except ApiError as error:
            if error.status not in BUSY:
                raise
            await asyncio.sleep(max(error.retry_after, 0.1))
    return await api.send(method, path, body, query=query, content_type=content_type)


async def _absent(api: Api, path: str, statuses: frozenset[int] = ABSENT) -> bool:
    try:
        await api.get(path)
    except ApiError as error:
        if error.status not in statuses:
            raise _refused("GET", path, error) from error
        return True
    return False


async def _asked(api: Api, method: str, path: str, body: object = None) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", await _send(api, method, path, body))
    except ApiError as error:
        raise _refused(method, path, error) from error


def _refused(method: str, path: str, error: ApiError) -> ClusterError:
    return ClusterError(
        f"the API server does not do {method} {path}: {error}; use a cluster where you may do "
        "that, or --local for an API server of the demo's own"
    )


def _collection(kind: Kind, namespace: str) -> str:
    return kind.path(kind.versions[0], namespace)


def _anything(kind: Kind) -> dict[str, Any]:
    """A CustomResourceDefinition that takes anything."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": kind.versions[0],
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": str(kind), "labels": LABELS},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"kind": kind.kind, "plural": kind.plural},
            "versions": [version],
        },
    }
